#include "image/bits.h"
#include "image/number.h"
#include "image/text.h"

static int decode_number(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    uint64_t raw = load_raw(from, operation->wire_size, operation->order);
    struct number number = number_of(operation->wire, raw);
    if (number.kind == FLOATING && !isfinite(number.is.d))
        return CW_NOT_A_NUMBER;
    int outcome = CW_FITS;
    if (operation->flags & CW_SCALED) {
        double value = as_double(number);
        if (value < operation->raw_low || value > operation->raw_high)
            outcome = CW_OUTSIDE;
        /* A scale of one between integers only changes the width: exact for 64 bits too. */
        if (number.kind == FLOATING || operation->gain != 1.0 || operation->offset != 0.0 ||
            is_floating(operation->code)) {
            number.kind = FLOATING;
            number.is.d = operation->gain * value + operation->offset;
            if (!isfinite(number.is.d))
                return CW_NOT_A_NUMBER;
        }
    }
    if (!in_range(operation, as_double(number)))
        outcome = CW_OUTSIDE;
    uint64_t image = bits_of(number, operation->code, &outcome);
    memcpy(to, &image, operation->size);
    return outcome;
}

static int decode_copy(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    uint64_t raw = load_raw(from, operation->wire_size, operation->order);
    int outcome = CW_FITS;
    if (is_floating(operation->code) || (operation->flags & CW_RANGED)) {
        double value = as_double(number_of(operation->code, raw));
        if (!isfinite(value))
            return CW_NOT_A_NUMBER;
        if (!in_range(operation, value))
            outcome = CW_OUTSIDE;
    }
    memcpy(to, &raw, operation->size);
    return outcome;
}

/* Writes the text at `bytes`, when that is not NULL: its size in the image, or -1 when it is none
 * there. Up to the first zero byte; what follows that is not looked at. */
static int32_t text_from_wire(const struct cw_operation *operation, const uint8_t *from,
                              uint8_t *bytes)
{
    size_t size = 0;
    for (size_t at = 0; at < operation->wire_length;) {
        uint8_t sequence[4];
        size_t left = operation->wire_length - at, count = 0, taken = 1;
        for (; count < 4 && count < left; count++)
            sequence[count] = from[text_place(operation, at + count)];
        if (sequence[0] == 0)
            break;
        if (operation->charset == NULL) {
            if (cw_utf8_take(sequence, count, &taken) < 0)
                return -1;
            count = taken;
        } else {
            uint16_t code = operation->charset[sequence[0]];
            if (code == 0)
                return -1;
            count = cw_utf8_put(code, sequence);
        }
        if (size + count > operation->length)
            return -1;
        if (bytes != NULL)
            memcpy(bytes + size, sequence, count);
        size += count;
        at += taken;
    }
    return (int32_t)size;
}

/* All of it or nothing: half a text with a good face would be worse than none. */
static int decode_text(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    int32_t size = text_from_wire(operation, from, NULL);
    if (size < 0)
        return CW_NOT_TEXT;
    uint16_t length = (uint16_t)size;
    memset(to, 0, 2 + text_size(operation));
    memcpy(to, &length, 2);
    text_from_wire(operation, from, to + 2);
    return CW_FITS;
}

static int decode_texts(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    int worst = CW_FITS;
    for (uint32_t index = 0; index < operation->count; index++) {
        int outcome = decode_text(operation, from + index * wire_text_size(operation),
                                  to + index * (2 + text_size(operation)));
        worst = outcome > worst ? outcome : worst;
    }
    return worst;
}

/* Analogue words to REAL, the commonest scaling: 1 when all went well, 0 to do it one by one. */
static int decode_words_to_reals(const struct cw_operation *operation, const uint8_t *from,
                                 uint8_t *to)
{
    int is_signed = operation->wire == CW_INT;
    if ((!is_signed && operation->wire != CW_UINT) || operation->code != CW_REAL ||
        (operation->flags & CW_SCALED) == 0 ||
        fabs(operation->gain) * 65536 + fabs(operation->offset) > 0x1p127)
        return 0;
    double low = operation->flags & CW_RANGED ? operation->range_low : -INFINITY;
    double high = operation->flags & CW_RANGED ? operation->range_high : INFINITY;
    int outside = 0;
    for (uint32_t index = 0; index < operation->count; index++) {
        uint16_t word;
        memcpy(&word, from + 2 * index, 2);
        word = order16(word, operation->order);
        double raw = is_signed ? (int16_t)word : word;
        double value = operation->gain * raw + operation->offset;
        float real = (float)value;
        outside |= (raw < operation->raw_low) | (raw > operation->raw_high) | (value < low) |
                   (value > high);
        memcpy(to + 4 * index, &real, 4);
    }
    return !outside;
}

static int decode_numbers(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    int worst = CW_FITS;
    int copy = operation->form == CW_FORM_COPY;
    if (copy && (operation->flags & CW_RANGED) == 0 &&
        (!is_floating(operation->code) ||
         !any_not_finite(from, operation->count, operation->size, operation->order))) {
        reorder(from, to, operation->count, operation->size, operation->order);
        return CW_FITS;
    }
    if (!copy && operation->count > 1 && decode_words_to_reals(operation, from, to))
        return CW_FITS;
    for (uint32_t index = 0; index < operation->count; index++) {
        const uint8_t *source = from + index * operation->wire_size;
        uint8_t *target = to + index * operation->size;
        int outcome = copy ? decode_copy(operation, source, target)
                           : decode_number(operation, source, target);
        worst = outcome > worst ? outcome : worst;
    }
    return worst;
}

int cw_decode_checked(const struct cw_operation *operation, const uint8_t *payload, uint8_t *values)
{
    const uint8_t *from = payload + operation->place;
    uint8_t *to = values + operation->value;
    switch (operation->form) {
    case CW_FORM_BITS:
        if (operation->count == 1)
            *to = *from >> operation->bit & 1;
        else
            cw_unpack_bits(from, ((size_t)operation->bit + operation->count + 7) / 8,
                           operation->bit, to, operation->count);
        return CW_FITS;
    case CW_FORM_WORD_BIT:
        for (uint32_t index = 0; index < operation->count; index++)
            to[index] = load_raw(from + 2 * index, 2, operation->order) >> operation->bit & 1;
        return CW_FITS;
    case CW_FORM_TEXT:
        return decode_texts(operation, from, to);
    default:
        return decode_numbers(operation, from, to);
    }
}

int cw_decode(const struct cw_operation *operation, const uint8_t *payload, size_t payload_size,
              uint8_t *values, size_t value_size)
{
    if (!cw_operation_fits(operation, payload_size, value_size, UINT32_MAX))
        return -EINVAL;
    return cw_decode_checked(operation, payload, values);
}
