/* One record a cycle for the flight recorder: what the latch brought and what the cycle made of it.
 *
 * Both parts are deltas of 64-bit words against a shadow of values and qualities, which follows
 * each delta; timestamps are not recorded, no program sees them. A delta is a list of runs: gap and
 * count in words (LEB128), then the words. Equal changes give equal bytes.
 *
 * Why C: compares the whole image twice a cycle; cost beside the cycle without it in
 * tests/benchmarks/test_recorder_cost.py. */
#ifndef CW_RECORDER_H
#define CW_RECORDER_H
#include <stddef.h>
#include <stdint.h>

struct cw_record_head {
    uint64_t cycle;
    int64_t tick;
    int64_t now_ns;
    int64_t utc_ns;
    int32_t lost_fault; /* as in struct cw_latched */
    int32_t tripped;
    uint32_t fresh;
    uint32_t said;          /* checksum of the events and jobs of this cycle */
    uint32_t readings_size; /* bytes of each part that follows, in this order: */
    uint32_t latched_size;  /* clock readings, delta of the latch, */
    uint32_t settled_size;  /* delta from there to the end of the cycle, */
    uint32_t notes_size;    /* everything else that came from outside */
};

struct cw_recorder {
    const struct cw_table *table;
    uint8_t *shadow; /* cw_record_region(table) bytes */
    size_t shadow_size;
    uint8_t *buffer; /* of the record in the making */
    size_t buffer_size;
    uint8_t *producer; /* ring to put it on, NULL: leave it in the buffer */
    size_t producer_size;
    const uint8_t *consumer;
    size_t consumer_size;
    int64_t *readings; /* of the clock, nanoseconds; the caller fills them in */
    size_t readings_max;
    size_t latched_size; /* bytes of the latch's delta, at the buffer's end until the cycle ends */
    struct cw_latched latched;
};

/* Bytes of values and qualities in a block, whole words; they begin at values_at. */
size_t cw_record_region(const struct cw_table *table);

/* Bytes that the longest delta of a region takes; a multiple of 8. */
size_t cw_delta_longest(size_t size);

/* Encodes what differs and brings `old` along; the delta's size, or -ENOSPC (`old` is undefined
 * then), -EINVAL when `size` is not whole words. */
int64_t cw_delta_take(uint8_t *old, const uint8_t *now, size_t size, uint8_t *delta,
                      size_t delta_size);

/* Applies a delta; 0, or -EBADMSG when it is none for this size (the region may be half changed). */
int cw_delta_apply(uint8_t *region, size_t size, const uint8_t *delta, size_t delta_size);

/* After the latch: 0, or negative as cw_delta_take. */
int cw_record_latched(struct cw_recorder *recorder, const struct cw_latched *latched);

/* At the end of the cycle: completes the record in the buffer and puts it on the ring. The ring's
 * sequence; 0 when it is full; negative as cw_ring_put. Without a ring: the record's size. */
int64_t cw_record_settled(struct cw_recorder *recorder, uint64_t cycle, int64_t tick,
                          int64_t now_ns, int64_t utc_ns, uint32_t said, size_t readings,
                          const uint8_t *notes, size_t notes_size);

#endif
