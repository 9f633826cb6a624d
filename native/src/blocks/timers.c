#include "blocks/timers.h"

#include "blocks/clock.h"

static void begin(struct cw_timer *block)
{
    block->phase = CW_TIMER_RUNNING;
    block->et_ns = 0;
    block->clocked = 0;
}

/* Counts the time since the last step; ends at PT. */
static int run(struct cw_timer *block, int64_t now_ns, int64_t pt_ns)
{
    uint64_t lapse;
    if (!cw_lapse(block->last_ns, block->clocked, now_ns, &lapse))
        return CW_TIME_BACKWARDS;
    int64_t preset = pt_ns > 0 ? pt_ns : 0;
    block->et_ns = cw_add_lapse(block->et_ns, lapse, preset);
    bool ended = block->et_ns >= preset;
    block->phase = ended ? CW_TIMER_ENDED : CW_TIMER_RUNNING;
    block->clocked = !ended;
    block->last_ns = ended ? 0 : now_ns;
    return 0;
}

static void rest(struct cw_timer *block)
{
    block->phase = CW_TIMER_IDLE;
    block->et_ns = block->last_ns = 0;
    block->clocked = 0;
}

int cw_ton_step(struct cw_timer *block, int64_t now_ns, bool in, int64_t pt_ns)
{
    if (!in) {
        rest(block);
    } else {
        if (block->phase == CW_TIMER_IDLE)
            begin(block);
        if (block->phase == CW_TIMER_RUNNING && run(block, now_ns, pt_ns) != 0)
            return CW_TIME_BACKWARDS;
    }
    block->q = block->phase == CW_TIMER_ENDED;
    return block->q;
}

int cw_tof_step(struct cw_timer *block, int64_t now_ns, bool in, int64_t pt_ns)
{
    if (in) {
        rest(block);
        block->q = 1;
    } else if (block->q) {
        if (block->phase != CW_TIMER_RUNNING)
            begin(block);
        if (run(block, now_ns, pt_ns) != 0)
            return CW_TIME_BACKWARDS;
        block->q = block->phase != CW_TIMER_ENDED;
    }
    return block->q;
}

int cw_tp_step(struct cw_timer *block, int64_t now_ns, bool in, int64_t pt_ns)
{
    if (block->phase == CW_TIMER_IDLE && in)
        begin(block);
    if (block->phase == CW_TIMER_RUNNING && run(block, now_ns, pt_ns) != 0)
        return CW_TIME_BACKWARDS;
    if (block->phase == CW_TIMER_ENDED && !in)
        rest(block);
    block->q = block->phase == CW_TIMER_RUNNING;
    return block->q;
}
