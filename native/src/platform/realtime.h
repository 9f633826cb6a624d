/* What the scan asks of the kernel. Each returns 0 when it was granted, else the errno.
 *
 * Why C: one call that changes only what it names; the Python standard library has no mlockall. */
#ifndef CW_REALTIME_H
#define CW_REALTIME_H

/* SCHED_FIFO for the calling thread at `priority` 1-99. Children start as SCHED_OTHER. */
int cw_schedule_fifo(int priority);

/* Keeps all present and future pages of the process in memory. */
int cw_lock_memory(void);

/* Runs the calling thread on one core only. */
int cw_pin(int core);

/* 1 while the kernel's wall clock is disciplined by a time server, else 0. Changes nothing. */
int cw_clock_synchronised(void);

#endif
