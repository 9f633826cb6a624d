/* Ramp (rate limiter), limiter, hysteresis, moving average.
 *
 * A step whose input is not a finite number answers CW_HELD and the output keeps its value: a
 * number that is none must not travel on, and must not look like a good one either. */
#ifndef CW_BLOCKS_ANALOG_H
#define CW_BLOCKS_ANALOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_ramp {
    double out;
    int64_t last_ns;
    uint8_t clocked;
    uint8_t started; /* out holds a value */
    uint8_t held;
    uint8_t spare[5];
};

/* OUT follows `in`, at most `rise` and `fall` units a second (>= 0). The first step, and every step
 * with `track`, sets OUT to `in`. */
int cw_ramp_step(struct cw_ramp *block, int64_t now_ns, double in, double rise, double fall,
                 bool track);

struct cw_limiter {
    double out;
    uint8_t at_low; /* in < low */
    uint8_t at_high;
    uint8_t held;
    uint8_t spare[5];
};

/* OUT = in, but within low..high (low <= high). */
int cw_limiter_step(struct cw_limiter *block, double low, double in, double high);

struct cw_hysteresis {
    uint8_t q;
    uint8_t held;
    uint8_t spare[6];
};

/* Q above high, not Q below low, unchanged from low to high (low <= high). */
int cw_hysteresis_step(struct cw_hysteresis *block, double in, double low, double high);

struct cw_average {
    double out;
    uint32_t next;   /* place of the next sample in the window */
    uint32_t filled; /* samples in the window */
    uint8_t held;
    uint8_t spare[7];
};

/* Mean of the last `size` samples, of as many as there are at first. Summed anew at each step, so
 * that neither rounding nor a spike outlives the window. `reset` empties the window first. */
int cw_average_step(struct cw_average *block, double *window, size_t size, double in, bool reset);

#endif
