/* Output values to the payloads of all devices, in one call.
 *
 * Not enabled: the safe payload, with the last committed bits where the safe action is hold. Why C:
 * ratio to numpy and to a bare memcpy in tests/benchmarks/test_image_cycle.py. */
#ifndef CW_COMMIT_H
#define CW_COMMIT_H
#include <stdint.h>

struct cw_committed {
    int32_t refused; /* first tag that was not a finite number and was not sent, -1 none */
    int32_t clamped; /* first tag that was outside its span, -1 none */
    int32_t error;   /* -EINVAL: the table does not fit its memory */
};

void cw_commit(struct cw_table *table, uint64_t cycle, int enabled,
               struct cw_committed *committed);

#endif
