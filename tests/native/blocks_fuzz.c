/* Steps every function block from arbitrary states with arbitrary inputs; test_blocks_fuzz.py builds
 * it with the address and undefined-behaviour sanitizers, which end it at the first finding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks/blocks.h"
#include "blocks/analog.h"
#include "blocks/logic.h"
#include "blocks/pid.h"
#include "blocks/sequencer.h"
#include "blocks/timers.h"

static uint64_t state = 88172645463325252u;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static bool flag(void) { return any() & 1; }

static int64_t integer(void)
{
    switch (any() % 5) {
    case 0:
        return INT64_MIN;
    case 1:
        return INT64_MAX;
    case 2:
        return (int64_t)(any() % 10);
    case 3:
        return 0;
    default:
        return (int64_t)any();
    }
}

static double number(void)
{
    uint64_t bits = any();
    double value;
    switch (any() % 8) {
    case 0:
        return NAN;
    case 1:
        return INFINITY;
    case 2:
        return -INFINITY;
    case 3:
        return 1.7e308;
    case 4:
        memcpy(&value, &bits, sizeof value);
        return value;
    default:
        return (double)(int)(bits % 200) - 100;
    }
}

/* All zero, all arbitrary, or mostly zero with small values. */
static void fill(void *memory, size_t size)
{
    uint8_t *bytes = memory;
    uint64_t kind = any() % 3;
    for (size_t n = 0; n < size; n++)
        bytes[n] = kind == 0 ? 0 : kind == 1 ? (uint8_t)any() : any() % 4 ? 0 : (uint8_t)(any() % 3);
}

static void logic(void)
{
    struct cw_bistable bistable;
    fill(&bistable, sizeof bistable);
    cw_sr_step(&bistable, flag(), flag());
    cw_rs_step(&bistable, flag(), flag());
    struct cw_edge edge;
    fill(&edge, sizeof edge);
    cw_r_trig_step(&edge, flag());
    cw_f_trig_step(&edge, flag());
    struct cw_counter counter;
    fill(&counter, sizeof counter);
    cw_ctu_step(&counter, flag(), flag(), integer(), integer(), integer());
    cw_ctd_step(&counter, flag(), flag(), integer(), integer(), integer());
    cw_ctud_step(&counter, flag(), flag(), flag(), flag(), integer(), integer(), integer());
}

static void timed(void)
{
    struct cw_timer timer;
    fill(&timer, sizeof timer);
    cw_ton_step(&timer, integer(), flag(), integer());
    cw_tof_step(&timer, integer(), flag(), integer());
    cw_tp_step(&timer, integer(), flag(), integer());
    struct cw_sequencer sequencer;
    struct cw_transition rows[3];
    uint8_t conditions[2] = {flag(), flag()};
    fill(&sequencer, sizeof sequencer);
    fill(rows, sizeof rows);
    cw_sequencer_step(&sequencer, rows, 3, conditions, 2, (int32_t)any(), flag(), integer());
    cw_sequencer_step(&sequencer, rows, 0, NULL, 0, (int32_t)any(), flag(), integer());
}

static void analog(void)
{
    struct cw_ramp ramp;
    fill(&ramp, sizeof ramp);
    cw_ramp_step(&ramp, integer(), number(), number(), number(), flag());
    struct cw_limiter limiter;
    fill(&limiter, sizeof limiter);
    cw_limiter_step(&limiter, number(), number(), number());
    struct cw_hysteresis hysteresis;
    fill(&hysteresis, sizeof hysteresis);
    cw_hysteresis_step(&hysteresis, number(), number(), number());
    struct cw_average average;
    size_t size = any() % 4;
    double *window = calloc(size ? size : 1, sizeof *window);
    fill(&average, sizeof average);
    cw_average_step(&average, window, size, number(), flag());
    free(window);
}

static void pid(void)
{
    struct cw_pid loops[2];
    struct cw_pid_tuning tunings[2];
    double sp[2], pv[2], ff[2], hand[2], out[2];
    uint8_t manual[2] = {flag(), flag()};
    fill(loops, sizeof loops);
    for (int n = 0; n < 2; n++) {
        tunings[n] = (struct cw_pid_tuning){number(), number(), number(), number(),
                                            number(), number(), number(), number()};
        sp[n] = number(), pv[n] = number(), ff[n] = number(), hand[n] = number();
    }
    cw_pid_step(loops, tunings, integer(), sp[0], pv[0], ff[0], flag(), hand[0]);
    cw_pid_bank_step(loops, tunings, 2, integer(), sp, pv, ff, manual, hand, out);
    cw_pid_bank_step(loops, tunings, 2, integer(), sp, pv, NULL, NULL, NULL, out);
}

int main(int count, char **arguments)
{
    long times = count > 1 ? strtol(arguments[1], NULL, 10) : 1;
    for (long n = 0; n < times; n++) {
        logic();
        timed();
        analog();
        pid();
    }
    printf("%ld\n", times);
    return 0;
}
