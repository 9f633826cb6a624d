/* Waiting: until an absolute instant, and for another process to change a shared word.
 *
 * cffi releases the interpreter lock around every call. Why C: time.sleep takes a duration, so a
 * preemption between asking the time and sleeping becomes jitter. The median start from Python is
 * that of the bare loop in C (ratio 1.0). */
#ifndef CW_WAIT_H
#define CW_WAIT_H
#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t cw_now(void);

/* Sleeps until `spin_ns` before CLOCK_MONOTONIC reaches `deadline_ns` and asks the clock again and
 * again for the rest, so that a late wake-up shorter than `spin_ns` costs nothing; the time on
 * return. It is earlier than the deadline only when a signal arrived in the sleep: handle it, then
 * wait again. 0 ns: sleep only. */
int64_t cw_wait_until(int64_t deadline_ns, int64_t spin_ns);

/* The bare loop to compare with: wakes `count` times, `interval_ns` apart from `first_ns`, and
 * notes how late each one was. Nothing else runs between. */
void cw_wait_probe(int64_t first_ns, int64_t interval_ns, int64_t *late_ns, size_t count);

/* Adds one to the 32-bit word at `offset` (a multiple of 4) and wakes its sleepers. */
int cw_word_bump(void *area, size_t area_size, size_t offset);

/* The word's value; 0 outside the area. */
uint32_t cw_word_load(const void *area, size_t area_size, size_t offset);

/* Sleeps while the word is `expected`: 0 it changed (or a signal came), -ETIMEDOUT, -EINVAL. */
int cw_word_wait(void *area, size_t area_size, size_t offset, uint32_t expected,
                 int64_t timeout_ns);

#endif
