#include "platform/private.h"
#include "image/statistics.h"

struct copy {
    _Atomic uint64_t sequence; /* odd while it is being changed */
    struct cw_statistics content;
};

struct pair {
    struct copy copy[2];
};

_Static_assert(sizeof((struct cw_statistics){0}.counter) == CW_COUNTERS * sizeof(uint64_t),
               "one place for each counter");

size_t cw_statistics_size(void) { return cw_round_up(sizeof(struct pair), CW_LINE); }

int cw_bucket(int64_t value)
{
    if (value < 8)
        return value < 0 ? 0 : (int)value;
    int octave = 63 - __builtin_clzll((unsigned long long)value);
    int bucket = (octave - 2) * 8 + (int)(value >> (octave - 3) & 7);
    return bucket < CW_BUCKETS ? bucket : CW_BUCKETS - 1;
}

int64_t cw_bucket_low(int bucket)
{
    if (bucket < 8)
        return bucket < 0 ? 0 : bucket;
    if (bucket >= CW_BUCKETS)
        bucket = CW_BUCKETS - 1;
    return (int64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

static void add(struct cw_moments *moments, int64_t value)
{
    if (moments->count == 0 || value < moments->min)
        moments->min = value;
    if (moments->count == 0 || value > moments->max)
        moments->max = value;
    moments->count++;
    moments->last = value;
    moments->sum += value;
    moments->bucket[cw_bucket(value)]++;
}

struct change {
    int executed;
    int64_t jitter_ns;
    int64_t execution_ns;
    uint32_t counters; /* bits of those that grow */
    uint64_t times;    /* by so much */
};

static int apply(void *area, size_t area_size, const struct change *change)
{
    if (area_size < sizeof(struct pair))
        return -EINVAL;
    struct pair *pair = area;
    for (int which = 0; which < 2; which++) {
        struct copy *copy = &pair->copy[which];
        uint64_t sequence = atomic_load_explicit(&copy->sequence, memory_order_relaxed) | 1;
        atomic_store_explicit(&copy->sequence, sequence, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        if (change->executed) {
            copy->content.cycles++;
            add(&copy->content.jitter, change->jitter_ns);
            add(&copy->content.execution, change->execution_ns);
        }
        if (change->counters)
            for (int counter = 0; counter < CW_COUNTERS; counter++)
                if (change->counters >> counter & 1)
                    copy->content.counter[counter] += change->times;
        atomic_store_explicit(&copy->sequence, sequence + 1, memory_order_release);
    }
    return 0;
}

int cw_statistics_record(void *area, size_t area_size, int64_t jitter_ns, int64_t execution_ns,
                         uint32_t counters)
{
    struct change change = {1, jitter_ns, execution_ns, counters, 1};
    return apply(area, area_size, &change);
}

int cw_statistics_count(void *area, size_t area_size, int counter, uint64_t times)
{
    if (counter < 0 || counter >= CW_COUNTERS)
        return -EINVAL;
    struct change change = {0, 0, 0, 1u << counter, times};
    return apply(area, area_size, &change);
}

static void put(struct copy *copy, const struct cw_statistics *content)
{
    uint64_t sequence = atomic_load_explicit(&copy->sequence, memory_order_relaxed) | 1;
    atomic_store_explicit(&copy->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    copy->content = *content;
    atomic_store_explicit(&copy->sequence, sequence + 1, memory_order_release);
}

int cw_statistics_reset(void *area, size_t area_size)
{
    if (area_size < sizeof(struct pair))
        return -EINVAL;
    struct pair *pair = area;
    struct cw_statistics empty = {.resets = pair->copy[0].content.resets + 1};
    put(&pair->copy[0], &empty);
    put(&pair->copy[1], &empty);
    return 0;
}

int cw_statistics_repair(void *area, size_t area_size)
{
    if (area_size < sizeof(struct pair))
        return -EINVAL;
    struct pair *pair = area;
    int damaged = atomic_load_explicit(&pair->copy[0].sequence, memory_order_acquire) & 1;
    put(&pair->copy[damaged ? 0 : 1], &pair->copy[damaged ? 1 : 0].content);
    return 0;
}

int cw_statistics_read(const void *area, size_t area_size, struct cw_statistics *content,
                       int attempts)
{
    if (area_size < sizeof(struct pair))
        return -EINVAL;
    const struct pair *pair = area;
    for (int attempt = 0; attempt < 2 * attempts; attempt++) {
        const struct copy *copy = &pair->copy[attempt & 1];
        uint64_t before = atomic_load_explicit(&copy->sequence, memory_order_acquire);
        if (before & 1)
            continue;
        memcpy(content, &copy->content, sizeof *content);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&copy->sequence, memory_order_relaxed) == before)
            return 0;
    }
    return -EAGAIN;
}
