/* A block of bytes that one process publishes and any number of others read whole.
 *
 * Two slots, each with the sequence number of what it holds, and the number of the newest. The
 * writer fills the slot that is not the newest and then says so; killed at any instant, it leaves
 * the newest untouched. A reader copies and checks that its slot was not begun anew meanwhile.
 *
 * Why C: the order of the stores is the whole point; a reader's copy costs what a
 * bare memcpy costs. */
#ifndef CW_SNAPSHOT_H
#define CW_SNAPSHOT_H
#include <stddef.h>
#include <stdint.h>

/* Bytes of the area for blocks of `block_size`. */
size_t cw_snapshot_size(size_t block_size);

/* Sequence of the newest block, 0 before the first. */
uint64_t cw_snapshot_sequence(const void *area, size_t area_size);

/* Publishes a block; its sequence, or -EINVAL when it does not fit. One writer only. */
int64_t cw_snapshot_write(void *area, size_t area_size, const void *block, size_t block_size);

/* The slot to fill for the next block, NULL when it does not fit; publish with cw_snapshot_end. */
void *cw_snapshot_begin(void *area, size_t area_size, size_t block_size);
int64_t cw_snapshot_end(void *area, size_t area_size, size_t block_size);

/* The newest block in place, NULL before the first. For its own writer only. */
const void *cw_snapshot_newest(const void *area, size_t area_size, size_t block_size);

/* Copies the newest block when its sequence is not `known`: its sequence; 0 when there is nothing
 * new; -EAGAIN when the writer overtook every one of `attempts`; -EINVAL when it does not fit. */
int64_t cw_snapshot_read(const void *area, size_t area_size, void *block, size_t block_size,
                         uint64_t known, int attempts);

#endif
