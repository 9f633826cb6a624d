/* Timers TON, TOF and TP (IEC 61131-3:2013, 6.6.3.5, table 46 and its timing diagrams).
 *
 * What the standard leaves to the implementer: PT counts at every step while time is measured, so a
 * change acts at once and may end the timing in that step; a timer that has ended stays so until
 * IN lets it go, and ET keeps the PT with which it ended. PT <= 0 ends at once. */
#ifndef CW_BLOCKS_TIMERS_H
#define CW_BLOCKS_TIMERS_H
#include <stdbool.h>
#include <stdint.h>

enum {
    CW_TIMER_IDLE,
    CW_TIMER_RUNNING,
    CW_TIMER_ENDED
};

struct cw_timer {
    int64_t et_ns;
    int64_t last_ns; /* 0 unless running */
    uint8_t phase;
    uint8_t clocked; /* 0 unless running */
    uint8_t q;
    uint8_t spare[5];
};

/* On-delay: Q once IN has been TRUE for PT. Returns Q or CW_TIME_BACKWARDS. */
int cw_ton_step(struct cw_timer *block, int64_t now_ns, bool in, int64_t pt_ns);

/* Off-delay: Q with IN, and for PT after it fell. A first step with IN FALSE is no fall. */
int cw_tof_step(struct cw_timer *block, int64_t now_ns, bool in, int64_t pt_ns);

/* Pulse: Q for PT after IN rose, whatever IN does meanwhile. Edges before the end of a pulse, and
 * in the step that ends it, start none. ET is kept while IN stays TRUE. */
int cw_tp_step(struct cw_timer *block, int64_t now_ns, bool in, int64_t pt_ns);

#endif
