#include "image/bits.h"
#include "image/number.h"

static int encode_number(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    struct number number = number_of(operation->code, load_image(from, operation->size));
    int outcome = CW_FITS;
    double value = as_double(number);
    if (!isfinite(value))
        return CW_NOT_A_NUMBER;
    if (!in_range(operation, value)) {
        outcome = CW_OUTSIDE;
        number.kind = FLOATING;
        number.is.d = value = value < operation->range_low ? operation->range_low
                                                           : operation->range_high;
    }
    if (operation->flags & CW_SCALED) {
        double raw = (value - operation->offset) / operation->gain;
        if (isnan(raw))
            return CW_NOT_A_NUMBER;
        int clamped = raw < operation->raw_low || raw > operation->raw_high;
        if (clamped) {
            outcome = CW_OUTSIDE;
            raw = raw < operation->raw_low ? operation->raw_low : operation->raw_high;
        }
        if (clamped || number.kind == FLOATING || operation->gain != 1.0 ||
            operation->offset != 0.0 || is_floating(operation->wire)) {
            number.kind = FLOATING;
            number.is.d = raw;
        }
    }
    store_raw(to, bits_of(number, operation->wire, &outcome), operation->wire_size,
              operation->order);
    return outcome;
}

static void encode_text(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    size_t wire = text_size(operation);
    uint16_t length;
    memcpy(&length, from, 2);
    for (size_t index = 0; index < wire; index++) {
        size_t place = operation->order >= CW_BADC ? index ^ 1u : index;
        to[place] = index < length && index < operation->length ? from[2 + index] : 0;
    }
}

/* REAL to analogue words: 1 when all went well and was written, 0 to do it one by one. */
static int encode_reals_to_words(const struct cw_operation *operation, const uint8_t *from,
                                 uint8_t *to)
{
    enum { CHUNK = 64 };
    int is_signed = operation->wire == CW_INT;
    if ((!is_signed && operation->wire != CW_UINT) || operation->code != CW_REAL ||
        (operation->flags & CW_SCALED) == 0)
        return 0;
    /* Within these limits nothing is clamped, so that rounding cannot leave the word either. */
    double low = fmax(operation->raw_low, is_signed ? INT16_MIN : 0);
    double high = fmin(operation->raw_high, is_signed ? INT16_MAX : UINT16_MAX);
    double first = operation->flags & CW_RANGED ? operation->range_low : -INFINITY;
    double last = operation->flags & CW_RANGED ? operation->range_high : INFINITY;
    uint16_t words[CHUNK];
    for (uint32_t done = 0; done < operation->count; done += CHUNK) {
        uint32_t count = operation->count - done < CHUNK ? operation->count - done : CHUNK;
        int fine = 1;
        for (uint32_t index = 0; index < count; index++) {
            float real;
            memcpy(&real, from + 4 * (done + index), 4);
            double raw = ((double)real - operation->offset) / operation->gain;
            /* False for what is not a number, too. */
            int fits = (raw >= low) & (raw <= high) & (real >= first) & (real <= last);
            fine &= fits;
            raw = fits ? raw : 0;
            int32_t whole = (int32_t)raw;
            double part = raw - whole;
            words[index] = (uint16_t)(whole + (part >= 0.5) - (part <= -0.5));
        }
        if (!fine)
            return 0;
        reorder((const uint8_t *)words, to + 2 * done, count, 2, operation->order);
    }
    return 1;
}

static int encode_numbers(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    int worst = CW_FITS;
    if (operation->form == CW_FORM_COPY && (operation->flags & CW_RANGED) == 0 &&
        (!is_floating(operation->code) ||
         !any_not_finite(from, operation->count, operation->size, CW_DCBA))) {
        reorder(from, to, operation->count, operation->size, operation->order);
        return CW_FITS;
    }
    if (operation->form == CW_FORM_NUMBER && operation->count > 1 &&
        encode_reals_to_words(operation, from, to))
        return CW_FITS;
    for (uint32_t index = 0; index < operation->count; index++) {
        int outcome = encode_number(operation, from + index * operation->size,
                                    to + index * operation->wire_size);
        worst = outcome > worst ? outcome : worst;
    }
    return worst;
}

int cw_encode_checked(const struct cw_operation *operation, uint8_t *payload, const uint8_t *values)
{
    const uint8_t *from = values + operation->value;
    uint8_t *to = payload + operation->place;
    uint8_t mask = (uint8_t)(1u << (operation->bit & 7));
    switch (operation->form) {
    case CW_FORM_BITS:
        if (operation->count == 1)
            *to = *from ? *to | mask : *to & (uint8_t)~mask;
        else
            cw_pack_bits(to, ((size_t)operation->bit + operation->count + 7) / 8, operation->bit,
                         from, operation->count);
        return CW_FITS;
    case CW_FORM_WORD_BIT:
        for (uint32_t index = 0; index < operation->count; index++) {
            uint64_t bit = UINT64_C(1) << operation->bit;
            uint64_t word = load_raw(to + 2 * index, 2, operation->order);
            store_raw(to + 2 * index, from[index] ? word | bit : word & ~bit, 2, operation->order);
        }
        return CW_FITS;
    case CW_FORM_TEXT:
        for (uint32_t index = 0; index < operation->count; index++)
            encode_text(operation, from + index * (2 + text_size(operation)),
                        to + index * text_size(operation));
        return CW_FITS;
    default:
        return encode_numbers(operation, from, to);
    }
}

int cw_encode(const struct cw_operation *operation, uint8_t *payload, size_t payload_size,
              const uint8_t *values, size_t value_size)
{
    if (!cw_operation_fits(operation, payload_size, value_size, UINT32_MAX))
        return -EINVAL;
    return cw_encode_checked(operation, payload, values);
}
