#include "platform/crc32c.h"
#include "platform/private.h"
#include "rings/ring.h"

struct producer {
    _Atomic uint64_t written;  /* sequence of the newest record */
    uint64_t position[2];      /* end of record n in [n & 1]: bytes since the ring was made */
    _Atomic uint32_t bell;     /* changes with every record; the consumer sleeps on it */
    uint8_t pad[CW_LINE - 28];
};

struct mark {
    uint64_t sequence;
    uint64_t position;
};

struct consumer {
    _Atomic uint64_t generation; /* [generation & 1] holds */
    struct mark mark[2];
    _Atomic uint32_t waiting;
    uint8_t pad[CW_LINE - 44];
};

struct header {
    uint32_t length; /* WRAP: the next record starts at the beginning of the ring */
    uint32_t crc;    /* over sequence and bytes */
    uint64_t sequence;
};

#define WRAP UINT32_MAX

_Static_assert(sizeof(struct producer) == CW_LINE, "one line");
_Static_assert(sizeof(struct consumer) == CW_LINE, "one line");

size_t cw_ring_producer_size(size_t capacity) { return sizeof(struct producer) + capacity; }
size_t cw_ring_consumer_size(void) { return sizeof(struct consumer); }

static size_t room_of(size_t length) { return sizeof(struct header) + cw_round_up(length, 8); }

size_t cw_ring_longest(size_t capacity)
{
    size_t most = capacity / 2;
    return most < room_of(0) ? 0 : most - room_of(0);
}

/* The capacity, or 0 when the sizes are not those of a ring. */
static size_t capacity_of(size_t producer_size, size_t consumer_size)
{
    if (consumer_size < sizeof(struct consumer) || producer_size < sizeof(struct producer) + 64)
        return 0;
    size_t capacity = producer_size - sizeof(struct producer);
    return (capacity & (capacity - 1)) == 0 && capacity <= UINT32_MAX / 2 ? capacity : 0;
}

/* The consumer's mark, whole, although it may be moving. */
static struct mark tail_of(const struct consumer *consumer)
{
    for (;;) {
        uint64_t generation = atomic_load_explicit(&consumer->generation, memory_order_acquire);
        struct mark mark = consumer->mark[generation & 1];
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&consumer->generation, memory_order_relaxed) == generation)
            return mark;
    }
}

static void move_tail(struct consumer *consumer, struct mark mark)
{
    uint64_t next = atomic_load_explicit(&consumer->generation, memory_order_relaxed) + 1;
    atomic_thread_fence(memory_order_release);
    consumer->mark[next & 1] = mark;
    atomic_store_explicit(&consumer->generation, next, memory_order_release);
}

static uint32_t check(uint64_t sequence, const uint8_t *data, size_t length)
{
    return cw_crc32c(cw_crc32c(0, (const uint8_t *)&sequence, sizeof sequence), data, length);
}

int64_t cw_ring_put(void *producer_area, size_t producer_size, const void *consumer_area,
                    size_t consumer_size, const uint8_t *data, size_t length)
{
    size_t capacity = capacity_of(producer_size, consumer_size);
    if (capacity == 0)
        return -EINVAL;
    if (length > cw_ring_longest(capacity))
        return -EMSGSIZE;
    struct producer *producer = producer_area;
    uint8_t *ring = (uint8_t *)(producer + 1);
    uint64_t sequence = atomic_load_explicit(&producer->written, memory_order_relaxed);
    uint64_t head = producer->position[sequence & 1];
    uint64_t used = head - tail_of(consumer_area).position;
    if (used > capacity || (head & 7) != 0)
        return -EBADMSG;
    size_t offset = head & (capacity - 1);
    size_t need = room_of(length);
    size_t skip = need > capacity - offset ? capacity - offset : 0;
    if (used + skip + need > capacity)
        return 0;
    if (skip != 0) {
        uint32_t wrap = WRAP;
        memcpy(ring + offset, &wrap, sizeof wrap);
        offset = 0;
    }
    sequence++;
    struct header header = {(uint32_t)length, check(sequence, data, length), sequence};
    memcpy(ring + offset, &header, sizeof header);
    memcpy(ring + offset + sizeof header, data, length);
    producer->position[sequence & 1] = head + skip + need;
    atomic_store_explicit(&producer->written, sequence, memory_order_release);
    atomic_fetch_add_explicit(&producer->bell, 1, memory_order_seq_cst);
    const struct consumer *consumer = consumer_area;
    if (atomic_load_explicit(&consumer->waiting, memory_order_seq_cst))
        cw_futex_wake(&producer->bell);
    return (int64_t)sequence;
}

/* Steps from `at` over one record; 0 and the record, or -EBADMSG. The bytes are checked once, when
 * they are read. */
static int step(const uint8_t *ring, size_t capacity, struct mark *at, struct cw_record *record,
                int check_bytes)
{
    size_t offset = at->position & (capacity - 1);
    size_t skip = 0;
    struct header header = {0};
    if ((offset & 7) != 0)
        return -EBADMSG;
    memcpy(&header.length, ring + offset, sizeof header.length);
    if (header.length == WRAP) {
        skip = capacity - offset;
        offset = 0;
    }
    if (capacity - offset < sizeof header)
        return -EBADMSG;
    memcpy(&header, ring + offset, sizeof header);
    if (header.length > capacity - offset - sizeof header || header.sequence != at->sequence + 1)
        return -EBADMSG;
    const uint8_t *data = ring + offset + sizeof header;
    if (check_bytes && check(header.sequence, data, header.length) != header.crc)
        return -EBADMSG;
    *record = (struct cw_record){header.sequence,
                                 (uint32_t)(sizeof(struct producer) + offset + sizeof header),
                                 header.length};
    *at = (struct mark){header.sequence, at->position + skip + room_of(header.length)};
    return 0;
}

int cw_ring_peek(const void *producer_area, size_t producer_size, const void *consumer_area,
                 size_t consumer_size, struct cw_record *records, size_t max)
{
    size_t capacity = capacity_of(producer_size, consumer_size);
    if (capacity == 0)
        return -EINVAL;
    const struct producer *producer = producer_area;
    uint64_t written = atomic_load_explicit(&producer->written, memory_order_acquire);
    struct mark at = tail_of(consumer_area);
    if (written < at.sequence)
        return -EBADMSG;
    int found = 0;
    while (at.sequence != written && (size_t)found < max) {
        if (step((const uint8_t *)(producer + 1), capacity, &at, &records[found], 1) != 0)
            return found != 0 ? found : -EBADMSG;
        found++;
    }
    return found;
}

int cw_ring_acknowledge(const void *producer_area, size_t producer_size, void *consumer_area,
                        size_t consumer_size, uint64_t sequence)
{
    size_t capacity = capacity_of(producer_size, consumer_size);
    if (capacity == 0)
        return -EINVAL;
    const struct producer *producer = producer_area;
    struct mark at = tail_of(consumer_area);
    if (sequence > atomic_load_explicit(&producer->written, memory_order_acquire))
        return -EINVAL;
    if (sequence <= at.sequence)
        return 0;
    while (at.sequence != sequence) {
        struct cw_record record;
        if (step((const uint8_t *)(producer + 1), capacity, &at, &record, 0) != 0)
            return -EBADMSG;
    }
    move_tail(consumer_area, at);
    return 0;
}

int64_t cw_ring_abandon(const void *producer_area, size_t producer_size, void *consumer_area,
                        size_t consumer_size)
{
    if (capacity_of(producer_size, consumer_size) == 0)
        return -EINVAL;
    const struct producer *producer = producer_area;
    struct mark tail = tail_of(consumer_area);
    /* The producer may go on meanwhile: a position belongs to the sequence read before and after. */
    for (;;) {
        uint64_t written = atomic_load_explicit(&producer->written, memory_order_acquire);
        struct mark head = {written, producer->position[written & 1]};
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&producer->written, memory_order_relaxed) != written)
            continue;
        move_tail(consumer_area, head);
        return (int64_t)(head.sequence - tail.sequence);
    }
}

uint64_t cw_ring_written(const void *producer_area, size_t producer_size)
{
    if (producer_size < sizeof(struct producer))
        return 0;
    const struct producer *producer = producer_area;
    return atomic_load_explicit(&producer->written, memory_order_acquire);
}

uint64_t cw_ring_acknowledged(const void *consumer_area, size_t consumer_size)
{
    return consumer_size < sizeof(struct consumer) ? 0 : tail_of(consumer_area).sequence;
}

int cw_ring_wait(const void *producer_area, size_t producer_size, void *consumer_area,
                 size_t consumer_size, uint64_t known, int64_t timeout_ns)
{
    if (capacity_of(producer_size, consumer_size) == 0)
        return -EINVAL;
    struct producer *producer = (struct producer *)producer_area;
    struct consumer *consumer = consumer_area;
    if (atomic_load_explicit(&producer->written, memory_order_acquire) > known)
        return 1;
    atomic_store_explicit(&consumer->waiting, 1, memory_order_seq_cst);
    uint32_t bell = atomic_load_explicit(&producer->bell, memory_order_seq_cst);
    if (atomic_load_explicit(&producer->written, memory_order_seq_cst) <= known)
        cw_futex_sleep(&producer->bell, bell, timeout_ns);
    atomic_store_explicit(&consumer->waiting, 0, memory_order_relaxed);
    return atomic_load_explicit(&producer->written, memory_order_acquire) > known;
}
