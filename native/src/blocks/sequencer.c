#include "blocks/sequencer.h"

#include "blocks/clock.h"

static int enter(struct cw_sequencer *block, int32_t step, int64_t now_ns)
{
    *block = (struct cw_sequencer){
        .last_ns = now_ns, .step = step, .started = 1, .clocked = 1, .entered = 1};
    return 1;
}

int cw_sequencer_step(struct cw_sequencer *block, const struct cw_transition *rows,
                      size_t row_count, const uint8_t *conditions, size_t condition_count,
                      int32_t initial, bool reset, int64_t now_ns)
{
    uint64_t lapse;
    for (size_t n = 0; n < row_count; n++)
        if (rows[n].condition != CW_ALWAYS && rows[n].condition >= condition_count)
            return CW_BAD_PARAMETER;
    if (!cw_lapse(block->last_ns, block->clocked, now_ns, &lapse))
        return CW_TIME_BACKWARDS;
    if (reset || !block->started)
        return enter(block, initial, now_ns);
    int64_t t_ns = cw_add_lapse(block->t_ns, lapse, INT64_MAX);
    for (size_t n = 0; n < row_count; n++) {
        const struct cw_transition *row = &rows[n];
        if (row->source == block->step && t_ns >= row->after_ns &&
            (row->condition == CW_ALWAYS || conditions[row->condition]))
            return enter(block, row->target, now_ns);
    }
    block->t_ns = t_ns;
    block->last_ns = now_ns;
    block->clocked = 1;
    block->entered = 0;
    return 0;
}
