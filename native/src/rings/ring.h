/* A ring of records of any length from one producer to one consumer (two processes).
 *
 * Two areas, so that each has one writer: the producer's (records) and the consumer's (how far it
 * has acknowledged). Records carry a sequence, counted from 1 and never reset, and a CRC-32C. A
 * record's space is used again only after its acknowledgement; a consumer that dies before it
 * finds the record again. Killed at any instant, either side leaves a consistent ring.
 *
 * Why C: order of stores, CRC, futex. A batch of 64 records takes 0.2 of the time of
 * multiprocessing.Pipe; a job there and back between two processes 0.65. */
#ifndef CW_RING_H
#define CW_RING_H
#include <stddef.h>
#include <stdint.h>

struct cw_record {
    uint64_t sequence;
    uint32_t offset; /* of the bytes, in the producer's area */
    uint32_t length;
};

/* Sizes of the two areas; capacity is a power of two of at least 64 bytes. */
size_t cw_ring_producer_size(size_t capacity);
size_t cw_ring_consumer_size(void);

/* Longest record: one that fits into the empty ring wherever it starts. */
size_t cw_ring_longest(size_t capacity);

/* Appends: the record's sequence; 0 when the ring is full; -EMSGSIZE too long; -EBADMSG when the
 * ring's own numbers are damaged; -EINVAL sizes. */
int64_t cw_ring_put(void *producer, size_t producer_size, const void *consumer,
                    size_t consumer_size, const uint8_t *data, size_t length);

/* Finds up to `max` records after the acknowledged one, oldest first, and checks each: how many.
 * -EBADMSG when already the first is damaged. Nothing is removed. */
int cw_ring_peek(const void *producer, size_t producer_size, const void *consumer,
                 size_t consumer_size, struct cw_record *records, size_t max);

/* Frees everything up to and including `sequence`: 0; -EINVAL when it was not written yet;
 * -EBADMSG when the walk meets damage. Acknowledging again is harmless. */
int cw_ring_acknowledge(const void *producer, size_t producer_size, void *consumer,
                        size_t consumer_size, uint64_t sequence);

/* Gives up everything not acknowledged; how many records that were. Only after damage. */
int64_t cw_ring_abandon(const void *producer, size_t producer_size, void *consumer,
                        size_t consumer_size);

/* Newest sequence written and acknowledged; 0 before the first. */
uint64_t cw_ring_written(const void *producer, size_t producer_size);
uint64_t cw_ring_acknowledged(const void *consumer, size_t consumer_size);

/* Sleeps until a record after sequence `known` is there: 1, or 0 after `timeout_ns` or a signal. */
int cw_ring_wait(const void *producer, size_t producer_size, void *consumer,
                 size_t consumer_size, uint64_t known, int64_t timeout_ns);

#endif
