#include "image/number.h"

static int is_width(uint8_t size) { return size == 1 || size == 2 || size == 4 || size == 8; }

int cw_operation_fits(const struct cw_operation *operation, size_t payload_size,
                      size_t value_size, size_t tag_count)
{
    size_t bits = (size_t)operation->place * 8 + operation->bit + operation->count;
    size_t wire, image;
    if (operation->tags == 0 || operation->count % operation->tags != 0 ||
        operation->tag > tag_count || operation->tags > tag_count - operation->tag)
        return 0;
    switch (operation->form) {
    case CW_FORM_BITS:
        wire = (bits + 7) / 8;
        image = operation->count;
        if (operation->bit > 7)
            return 0;
        break;
    case CW_FORM_WORD_BIT:
        wire = operation->place + (size_t)2 * operation->count;
        image = operation->count;
        if (operation->bit > 15)
            return 0;
        break;
    case CW_FORM_TEXT:
        wire = operation->place + wire_text_size(operation) * operation->count;
        image = (2 + text_size(operation)) * operation->count;
        break;
    default:
        wire = operation->place + (size_t)operation->wire_size * operation->count;
        image = (size_t)operation->size * operation->count;
        if (!is_width(operation->size) || !is_width(operation->wire_size) ||
            operation->wire_size == 1 ||
            (operation->form == CW_FORM_COPY && operation->size != operation->wire_size))
            return 0;
        break;
    }
    return wire <= payload_size && operation->value <= value_size &&
           image <= value_size - operation->value;
}

static int in_use(const struct cw_table *table, uint32_t first, uint32_t count, size_t payload_size)
{
    if (first > table->operation_count || count > table->operation_count - first)
        return 0;
    for (uint32_t index = first; index < first + count; index++)
        if (!cw_operation_fits(&table->operations[index], payload_size, table->value_size,
                               table->tag_count))
            return 0;
    return 1;
}

static int device_fits(const struct cw_table *table, const struct cw_device *device)
{
    const size_t state = 16;
    if (device->payload_at > device->block_size || device->payload_at < 8 ||
        device->payload_size > device->block_size - device->payload_at ||
        device->group_count > (device->payload_at - 8) / state)
        return 0;
    for (size_t index = 0; index < device->group_count; index++) {
        const struct cw_group *group = &device->groups[index];
        if (!in_use(table, group->first, group->count,
                    group->output ? device->output_size : device->payload_size))
            return 0;
    }
    return in_use(table, device->output_first, device->output_count, device->output_size);
}

int cw_table_check(const struct cw_table *table)
{
    for (size_t index = 0; index < table->device_count; index++)
        if (!device_fits(table, &table->devices[index]))
            return -EINVAL;
    size_t end_of_values = table->values_at + table->value_size;
    size_t end_of_quality = table->quality_at + 4 * table->tag_count;
    size_t last = table->timestamps_at > table->monotonic_at ? table->timestamps_at
                                                               : table->monotonic_at;
    size_t end_of_stamps = last + 8 * table->tag_count;
    return end_of_values <= table->block_size && end_of_quality <= table->block_size &&
                   end_of_stamps <= table->block_size
               ? 0
               : -EINVAL;
}

struct cw_operation cw_operation_of(const struct cw_operation *operation, uint32_t which)
{
    struct cw_operation one = *operation;
    one.tags = 1;
    one.tag += which;
    one.count /= operation->tags;
    uint32_t elements = which * one.count;
    if (one.form == CW_FORM_BITS) {
        one.place += (one.bit + elements) / 8;
        one.bit = (uint8_t)((one.bit + elements) % 8);
        one.value += elements;
    } else if (one.form == CW_FORM_WORD_BIT) {
        one.place += 2 * elements;
        one.value += elements;
    } else if (one.form == CW_FORM_TEXT) {
        one.place += (uint32_t)wire_text_size(operation) * elements;
        one.value += (uint32_t)(2 + text_size(operation)) * elements;
    } else {
        one.place += one.wire_size * elements;
        one.value += one.size * elements;
    }
    return one;
}
