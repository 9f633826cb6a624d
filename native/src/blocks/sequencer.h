/* Sequencer: steps and transitions as in a sequential function chart (IEC 61131-3:2013, 6.7) with
 * one active step. */
#ifndef CW_BLOCKS_SEQUENCER_H
#define CW_BLOCKS_SEQUENCER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CW_ALWAYS = 0xFFFF };

/* Leads from `source` to `target` when `source` has been active for `after_ns` and the condition
 * with that index is TRUE; CW_ALWAYS: after that time by itself. */
struct cw_transition {
    int64_t after_ns;
    int32_t source;
    int32_t target;
    uint32_t condition;
    uint32_t spare;
};

struct cw_sequencer {
    int64_t t_ns; /* how long the step has been active */
    int64_t last_ns;
    int32_t step;
    uint8_t started;
    uint8_t clocked;
    uint8_t entered; /* the step became active in this call */
    uint8_t spare;
};

/* The first call and `reset` make `initial` active and look at no transition. Every other call
 * takes at most one: the first row of the active step that is due; so each step is active for at
 * least one call. Returns 1 when a step became active, 0, CW_TIME_BACKWARDS or CW_BAD_PARAMETER
 * (a row names a condition that there is not; nothing has changed). */
int cw_sequencer_step(struct cw_sequencer *block, const struct cw_transition *rows,
                      size_t row_count, const uint8_t *conditions, size_t condition_count,
                      int32_t initial, bool reset, int64_t now_ns);

#endif
