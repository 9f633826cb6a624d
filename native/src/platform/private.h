/* What the sources share and Python does not see: alignment, barriers, futex. */
#ifndef CW_PRIVATE_H
#define CW_PRIVATE_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CW_LINE 64u /* bytes of a cache line; each area starts on one */

static inline size_t cw_round_up(size_t size, size_t to) { return (size + to - 1) / to * to; }

/* Wakes everybody who sleeps on the word, in any process. */
void cw_futex_wake(_Atomic uint32_t *word);

/* Sleeps while *word == expected, at most timeout_ns; 0 woken or changed, ETIMEDOUT, EINTR. */
int cw_futex_sleep(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);

#endif
