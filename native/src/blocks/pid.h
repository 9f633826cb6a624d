/* PID controller in the ISA standard form, one loop or a bank of them.
 *
 *   OUT = KP * (B*SP - PV  +  1/TI * integral of (SP - PV)  -  TD * d(PV filtered)/dt)  +  FF
 *
 * Backward differences over the measured scan time; the derivative acts on PV alone, through a
 * first-order filter of TD/N. The integral is kept in units of OUT. It never carries OUT beyond a
 * limit: the part of a step's increment that would do so is dropped. While by hand it follows, so
 * that the change to automatic starts from the value set by hand; without integral action (TI 0)
 * it stays there, as the bias. A change of gain, weight or limits moves it such that the former
 * sample would still give the former output. */
#ifndef CW_BLOCKS_PID_H
#define CW_BLOCKS_PID_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_pid_tuning {
    double kp;   /* negative: OUT rises with PV */
    double ti_s; /* <= 0: no integral action */
    double td_s; /* <= 0: no derivative action */
    double n;    /* derivative filter, > 0; usually 5 to 20 */
    double b;    /* weight of SP in the proportional part, usually 0 to 1 */
    double low;  /* limits of OUT, low <= high */
    double high;
    double hand_rate; /* OUT approaches `hand` by at most this a second; <= 0: at once */
};

struct cw_pid {
    double out;
    double i;
    double d;
    double p; /* of the former sample, with sp and pv */
    double sp;
    double pv;
    int64_t last_ns;
    uint8_t clocked;
    uint8_t sampled; /* p, sp and pv hold a sample */
    uint8_t held;    /* the last step met a value that is not a finite number */
    uint8_t by_hand;
    uint8_t spare[4];
};

/* One step; while `manual`, OUT goes to `hand`. Returns 0; CW_HELD (OUT keeps its value, or still
 * goes to `hand` while `manual`: a broken sensor must not take the hand away; the first good sample
 * is then taken without integral and derivative); CW_TIME_BACKWARDS or CW_BAD_PARAMETER (nothing
 * has changed). OUT lies within the limits after every step but a refused one. */
int cw_pid_step(struct cw_pid *loop, const struct cw_pid_tuning *tuning, int64_t now_ns, double sp,
                double pv, double ff, bool manual, double hand);

/* `count` loops at one time; all arrays have `count` items, ff may be NULL (zeros), manual and hand
 * may be NULL together (all automatic). Returns how many loops are held, CW_TIME_BACKWARDS or
 * CW_BAD_PARAMETER (no loop has changed). */
int cw_pid_bank_step(struct cw_pid *loops, const struct cw_pid_tuning *tunings, size_t count,
                     int64_t now_ns, const double *sp, const double *pv, const double *ff,
                     const uint8_t *manual, const double *hand, double *out);

#endif
