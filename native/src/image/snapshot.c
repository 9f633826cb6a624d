#include "image/snapshot.h"

#include "platform/private.h"

struct head {
    _Atomic uint64_t newest;
    uint8_t pad[CW_LINE - 8];
};

struct slot {
    _Atomic uint64_t sequence; /* 0 while it is being filled */
    uint8_t pad[CW_LINE - 8];
};

static size_t stride(size_t block_size) { return sizeof(struct slot) + cw_round_up(block_size, CW_LINE); }

size_t cw_snapshot_size(size_t block_size) { return sizeof(struct head) + 2 * stride(block_size); }

static struct slot *slot_of(const void *area, size_t block_size, uint64_t sequence)
{
    uint8_t *first = (uint8_t *)area + sizeof(struct head);
    return (struct slot *)(first + (sequence & 1) * stride(block_size));
}

static int fits(size_t area_size, size_t block_size)
{
    return block_size <= area_size && cw_snapshot_size(block_size) <= area_size;
}

uint64_t cw_snapshot_sequence(const void *area, size_t area_size)
{
    if (area_size < sizeof(struct head))
        return 0;
    const struct head *head = area;
    return atomic_load_explicit(&head->newest, memory_order_acquire);
}

void *cw_snapshot_begin(void *area, size_t area_size, size_t block_size)
{
    if (!fits(area_size, block_size))
        return NULL;
    struct slot *slot = slot_of(area, block_size, cw_snapshot_sequence(area, area_size) + 1);
    atomic_store_explicit(&slot->sequence, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return slot + 1;
}

int64_t cw_snapshot_end(void *area, size_t area_size, size_t block_size)
{
    if (!fits(area_size, block_size))
        return -EINVAL;
    struct head *head = area;
    uint64_t sequence = cw_snapshot_sequence(area, area_size) + 1;
    struct slot *slot = slot_of(area, block_size, sequence);
    atomic_store_explicit(&slot->sequence, sequence, memory_order_release);
    atomic_store_explicit(&head->newest, sequence, memory_order_release);
    return (int64_t)sequence;
}

int64_t cw_snapshot_write(void *area, size_t area_size, const void *block, size_t block_size)
{
    void *data = cw_snapshot_begin(area, area_size, block_size);
    if (data == NULL)
        return -EINVAL;
    memcpy(data, block, block_size);
    return cw_snapshot_end(area, area_size, block_size);
}

const void *cw_snapshot_newest(const void *area, size_t area_size, size_t block_size)
{
    uint64_t sequence = cw_snapshot_sequence(area, area_size);
    if (sequence == 0 || !fits(area_size, block_size))
        return NULL;
    return slot_of(area, block_size, sequence) + 1;
}

int64_t cw_snapshot_read(const void *area, size_t area_size, void *block, size_t block_size,
                         uint64_t known, int attempts)
{
    if (!fits(area_size, block_size))
        return -EINVAL;
    for (int attempt = 0; attempt < attempts; attempt++) {
        uint64_t sequence = cw_snapshot_sequence(area, area_size);
        if (sequence == 0 || sequence == known)
            return 0;
        struct slot *slot = slot_of(area, block_size, sequence);
        if (atomic_load_explicit(&slot->sequence, memory_order_acquire) != sequence)
            continue;
        memcpy(block, slot + 1, block_size);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&slot->sequence, memory_order_relaxed) == sequence)
            return (int64_t)sequence;
    }
    return -EAGAIN;
}
