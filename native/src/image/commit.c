#include "image/number.h"

#include "image/commit.h"
#include "image/snapshot.h"

struct header {
    uint64_t cycle;
    uint32_t enabled;
    uint32_t pad;
};

/* The quality tells of a value that did not go out as it is, and of the end of that. */
static void judge(struct cw_operation *operation, uint32_t *quality, uint32_t tag, int outcome,
                  struct cw_committed *committed)
{
    if (outcome == CW_FITS) {
        if (quality[tag] == CW_BAD_DEVICE_FAILURE || quality[tag] == CW_BAD_ENCODING_ERROR ||
            quality[tag] == CW_UNCERTAIN_UNITS_EXCEEDED)
            quality[tag] = CW_GOOD;
        return;
    }
    int32_t *first = outcome == CW_OUTSIDE ? &committed->clamped : &committed->refused;
    if (*first < 0)
        *first = (int32_t)tag;
    quality[tag] = outcome == CW_OUTSIDE    ? (uint32_t)CW_UNCERTAIN_UNITS_EXCEEDED
                   : outcome == CW_NOT_TEXT ? CW_BAD_ENCODING_ERROR
                                            : CW_BAD_DEVICE_FAILURE;
    operation->known = 1;
}

static void encode_device(struct cw_table *table, const struct cw_device *device,
                          struct cw_committed *committed)
{
    const uint8_t *values = table->block + table->values_at;
    uint32_t *quality = (uint32_t *)(void *)(table->block + table->quality_at);
    for (uint32_t index = 0; index < device->output_count; index++) {
        struct cw_operation *operation = &table->operations[device->output_first + index];
        int outcome = cw_encode_checked(operation, device->committed, values);
        if (outcome == CW_FITS && !operation->known)
            continue;
        operation->known = 0;
        for (uint32_t which = 0; which < operation->tags; which++) {
            struct cw_operation one = cw_operation_of(operation, which);
            judge(operation, quality, one.tag, cw_encode_checked(&one, device->committed, values),
                  committed);
        }
    }
}

void cw_commit(struct cw_table *table, uint64_t cycle, int enabled, struct cw_committed *committed)
{
    *committed = (struct cw_committed){-1, -1, 0};
    for (size_t index = 0; index < table->device_count; index++) {
        struct cw_device *device = &table->devices[index];
        size_t size = device->output_size;
        if (size == 0)
            continue;
        if (enabled) {
            encode_device(table, device, committed);
        } else {
            for (size_t byte = 0; byte < size; byte++)
                device->committed[byte] =
                    (uint8_t)((device->safe[byte] & ~device->hold[byte]) |
                              (device->committed[byte] & device->hold[byte]));
        }
        struct header header = {cycle, enabled ? 1 : 0, 0};
        size_t block_size = cw_round_up(sizeof header + size, 8);
        uint8_t *block = cw_snapshot_begin(device->outputs, device->outputs_size, block_size);
        if (block == NULL) {
            committed->error = -EINVAL;
            return;
        }
        memcpy(block, &header, sizeof header);
        memcpy(block + sizeof header, device->committed, size);
        cw_snapshot_end(device->outputs, device->outputs_size, block_size);
    }
}
