/* Counters and histograms of one task, written by the scan, read by anyone.
 *
 * Histogram: log-linear, 8 buckets an octave (relative error at most 1/8), 0 to 2^40 ns.
 * Each record is kept twice and changed one copy after the other, so that a writer killed in the
 * middle leaves one of them whole. Why C: 0.3 of the time of the
 * same in Python. */
#ifndef CW_STATISTICS_H
#define CW_STATISTICS_H
#include <stddef.h>
#include <stdint.h>

enum { CW_BUCKETS = 304 };

/* What is counted beside executions; places in cw_statistics.counter. */
enum cw_count {
    CW_OVERRUNS,
    CW_SKIPS,
    CW_WATCHDOG_HITS,
    CW_LATE_RUNS,
    CW_OMITTED,
    CW_JOB_TIMEOUTS,
    CW_LATE_ANSWERS,
    CW_COUNTERS
};

struct cw_moments {
    uint64_t count;
    int64_t last;
    int64_t min; /* of an empty record: 0 */
    int64_t max;
    int64_t sum;
    uint64_t bucket[304];
};

struct cw_statistics {
    uint64_t cycles;
    uint64_t resets;
    uint64_t counter[7];         /* by cw_count */
    struct cw_moments jitter;    /* start after the tick, ns */
    struct cw_moments execution; /* ns */
};

size_t cw_statistics_size(void);

/* Bucket of a value, and the smallest value of a bucket. Negative values count as 0. */
int cw_bucket(int64_t value);
int64_t cw_bucket_low(int bucket);

/* One execution. `cycles` grows by one, and so does each counter whose bit (1 << cw_count) is
 * set in `counters`. 0 or -EINVAL. */
int cw_statistics_record(void *area, size_t area_size, int64_t jitter_ns, int64_t execution_ns,
                         uint32_t counters);

/* Adds to one counter without an execution. 0, or -EINVAL when there is no such counter. */
int cw_statistics_count(void *area, size_t area_size, int counter, uint64_t times);

/* Zeroes everything but the number of resets. */
int cw_statistics_reset(void *area, size_t area_size);

/* To be called once by a new writer: makes both copies whole and equal again. */
int cw_statistics_repair(void *area, size_t area_size);

/* A consistent copy: 0, or -EAGAIN when the writer was faster every time, -EINVAL. */
int cw_statistics_read(const void *area, size_t area_size, struct cw_statistics *copy,
                       int attempts);

#endif
