#include "blocks/logic.h"

#include "blocks/blocks.h"

int cw_sr_step(struct cw_bistable *block, bool s1, bool r)
{
    block->q = s1 || (!r && block->q);
    return block->q;
}

int cw_rs_step(struct cw_bistable *block, bool s, bool r1)
{
    block->q = !r1 && (s || block->q);
    return block->q;
}

int cw_r_trig_step(struct cw_edge *block, bool clk)
{
    block->q = clk && !block->memory;
    block->memory = clk;
    return block->q;
}

int cw_f_trig_step(struct cw_edge *block, bool clk)
{
    block->q = !clk && !block->memory;
    block->memory = !clk;
    return block->q;
}

static bool rises(uint8_t *memory, bool input)
{
    bool edge = input && !*memory;
    *memory = input;
    return edge;
}

static void up(struct cw_counter *block, int64_t high)
{
    if (block->cv < high)
        block->cv++;
}

static void down(struct cw_counter *block, int64_t low)
{
    if (block->cv > low)
        block->cv--;
}

int cw_ctu_step(struct cw_counter *block, bool cu, bool r, int64_t pv, int64_t low, int64_t high)
{
    if (pv < low || pv > high)
        return CW_BAD_PARAMETER;
    bool edge = rises(&block->up, cu);
    if (r)
        block->cv = 0;
    else if (edge)
        up(block, high);
    block->qu = block->cv >= pv;
    return block->qu ? CW_QU : 0;
}

int cw_ctd_step(struct cw_counter *block, bool cd, bool ld, int64_t pv, int64_t low, int64_t high)
{
    if (pv < low || pv > high)
        return CW_BAD_PARAMETER;
    bool edge = rises(&block->down, cd);
    if (ld)
        block->cv = pv;
    else if (edge)
        down(block, low);
    block->qd = block->cv <= 0;
    return block->qd ? CW_QD : 0;
}

int cw_ctud_step(struct cw_counter *block, bool cu, bool cd, bool r, bool ld, int64_t pv,
                 int64_t low, int64_t high)
{
    if (pv < low || pv > high)
        return CW_BAD_PARAMETER;
    bool rise_up = rises(&block->up, cu);
    bool rise_down = rises(&block->down, cd);
    if (r)
        block->cv = 0;
    else if (ld)
        block->cv = pv;
    else if (rise_up && !rise_down)
        up(block, high);
    else if (rise_down && !rise_up)
        down(block, low);
    block->qu = block->cv >= pv;
    block->qd = block->cv <= 0;
    return (block->qu ? CW_QU : 0) | (block->qd ? CW_QD : 0);
}
