#include "blocks/analog.h"

#include <math.h>

#include "blocks/clock.h"

int cw_ramp_step(struct cw_ramp *block, int64_t now_ns, double in, double rise, double fall,
                 bool track)
{
    uint64_t lapse;
    if (!(rise >= 0) || !(fall >= 0))
        return CW_BAD_PARAMETER;
    if (!cw_lapse(block->last_ns, block->clocked, now_ns, &lapse))
        return CW_TIME_BACKWARDS;
    block->last_ns = now_ns;
    block->clocked = 1;
    block->held = !isfinite(in);
    if (block->held)
        return CW_HELD;
    double h = (double)lapse * 1e-9;
    /* a rate without bound is not multiplied: no time at all would give no number */
    double up = isinf(rise) ? rise : rise * h;
    double down = isinf(fall) ? fall : fall * h;
    double way = in - block->out;
    if (track || !block->started || (way <= up && -way <= down))
        block->out = in;
    else
        block->out += way > 0 ? up : -down;
    block->started = 1;
    return 0;
}

int cw_limiter_step(struct cw_limiter *block, double low, double in, double high)
{
    if (!(low <= high))
        return CW_BAD_PARAMETER;
    block->held = !isfinite(in);
    if (block->held)
        return CW_HELD;
    block->at_low = in < low;
    block->at_high = in > high;
    block->out = block->at_low ? low : block->at_high ? high : in;
    return 0;
}

int cw_hysteresis_step(struct cw_hysteresis *block, double in, double low, double high)
{
    if (!(low <= high))
        return CW_BAD_PARAMETER;
    block->held = !isfinite(in);
    if (block->held)
        return CW_HELD;
    block->q = in > high || (block->q && in >= low);
    return 0;
}

int cw_average_step(struct cw_average *block, double *window, size_t size, double in, bool reset)
{
    if (!window || size == 0 || size > UINT32_MAX || block->next >= size || block->filled > size)
        return CW_BAD_PARAMETER;
    if (reset)
        block->next = block->filled = 0;
    block->held = !isfinite(in);
    if (block->held)
        return CW_HELD;
    window[block->next] = in;
    block->next = block->next + 1 == size ? 0 : block->next + 1;
    if (block->filled < size)
        block->filled++;
    double sum = 0;
    for (uint32_t n = 0; n < block->filled; n++)
        sum += window[n];
    double mean = sum / block->filled;
    block->held = !isfinite(mean);
    if (block->held)
        return CW_HELD;
    block->out = mean;
    return 0;
}
