/* Forces: values that stand whatever device or program say. */
#ifndef CW_OVERLAY_H
#define CW_OVERLAY_H
#include <stddef.h>

/* Copies the forced places of `forces` (value_size bytes) over the values and marks them
 * Good/LocalOverride; 0, or -EINVAL when a place does not fit. */
int cw_overlay(struct cw_table *table, const uint8_t *forces, const struct cw_place *places,
               size_t count);

#endif
