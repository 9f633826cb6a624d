/* Single 64-bit words in a shared area: heartbeats, counters, states.
 *
 * Why C: Python cannot promise that a store is one store, nor its order. */
#ifndef CW_WORD_H
#define CW_WORD_H
#include <stddef.h>
#include <stdint.h>

/* The word at byte `offset` (a multiple of 8). Outside the area: 0. */
int64_t cw_load(const void *area, size_t area_size, size_t offset);

/* Stores with release order; 0, or -EINVAL outside the area. */
int cw_store(void *area, size_t area_size, size_t offset, int64_t value);

/* Adds and returns the new value. */
int64_t cw_add(void *area, size_t area_size, size_t offset, int64_t value);

#endif
