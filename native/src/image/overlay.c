#include "image/operation.h"

#include "image/changes.h"
#include "image/overlay.h"
#include "platform/private.h"

int cw_overlay(struct cw_table *table, const uint8_t *forces, const struct cw_place *places,
               size_t count)
{
    uint8_t *values = table->block + table->values_at;
    uint32_t *quality = (uint32_t *)(void *)(table->block + table->quality_at);
    for (size_t index = 0; index < count; index++) {
        const struct cw_place *place = &places[index];
        if (place->tag >= table->tag_count || place->offset > table->value_size ||
            place->size > table->value_size - place->offset)
            return -EINVAL;
        memcpy(values + place->offset, forces + place->offset, place->size);
        /* That the device has not taken an output shows through: forcing does not reach it. */
        if (!place->output || quality[place->tag] >> 31 == 0)
            quality[place->tag] = CW_GOOD_LOCAL_OVERRIDE;
    }
    return 0;
}
