/* Staged inputs to values, qualities and timestamps, for all devices in one call.
 *
 * A device whose driver published nothing new and lives is not looked into. Why C: 10,000
 * tags in 0.7 to 0.8 of the time of numpy on four arrays without policies, 3 times a bare memcpy;
 * tags of mixed kinds, one operation each, take six to eight times as long as merged ones. */
#ifndef CW_LATCH_H
#define CW_LATCH_H
#include <stdint.h>

struct cw_latched {
    int32_t lost_fault; /* first device whose loss must fault the cell, -1 none */
    int32_t tripped;    /* first device whose driver tripped, -1 none */
    uint32_t fresh;     /* devices with new inputs */
    int32_t error;      /* -EINVAL: the table does not fit its memory */
};

void cw_latch(struct cw_table *table, int64_t now_ns, int64_t utc_ns, struct cw_latched *latched);

#endif
