/* How blocks measure time; shared by their sources, not seen by Python. */
#ifndef CW_BLOCKS_CLOCK_H
#define CW_BLOCKS_CLOCK_H

#include "blocks/blocks.h"

/* Nanoseconds since the previous step, 0 when there was none; false when time ran backwards.
 * Unsigned, so that no pair of times overflows. */
static inline bool cw_lapse(int64_t last_ns, uint8_t clocked, int64_t now_ns, uint64_t *lapse)
{
    *lapse = 0;
    if (!clocked)
        return true;
    if (now_ns < last_ns)
        return false;
    *lapse = (uint64_t)now_ns - (uint64_t)last_ns;
    return true;
}

/* elapsed + lapse, at most `most` (>= 0). A damaged state with a negative time counts from 0. */
static inline int64_t cw_add_lapse(int64_t elapsed_ns, uint64_t lapse, int64_t most)
{
    if (elapsed_ns < 0)
        elapsed_ns = 0;
    if (elapsed_ns >= most)
        return most;
    uint64_t room = (uint64_t)most - (uint64_t)elapsed_ns;
    return lapse >= room ? most : elapsed_ns + (int64_t)lapse;
}

#endif
