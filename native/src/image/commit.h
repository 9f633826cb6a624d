/* Output values to the payloads of all devices, in one call.
 *
 * Not enabled: the safe payload, with the last committed bits where the safe action is hold. Why C:
 * 10,000 tags in 0.35 to 0.4 of numpy's time, 5 times a bare memcpy. */
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
