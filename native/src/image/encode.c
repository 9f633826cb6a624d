#include "image/bits.h"
#include "image/number.h"
#include "image/text.h"

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

/* The byte of a code point in the device; -1 when its charset does not have it. */
static int byte_of(const uint16_t *charset, int32_t code)
{
    if (code < 256 && charset[code] == code)
        return (int)code;
    for (int byte = 0; byte < 256; byte++)
        if (charset[byte] == code)
            return byte;
    return -1;
}

/* Writes the text at `to`, when that is not NULL: what it comes to. One that is too long is cut
 * between two characters. */
static int text_to_wire(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    uint16_t stored;
    memcpy(&stored, from, 2);
    size_t length = stored < operation->length ? stored : operation->length, size = 0;
    const uint8_t *text = from + 2;
    for (size_t at = 0, taken = 1; at < length; at += taken) {
        uint8_t single;
        const uint8_t *bytes = text + at;
        int32_t code = cw_utf8_take(bytes, length - at, &taken);
        if (code < 0)
            return CW_NOT_TEXT;
        size_t count = taken;
        if (operation->charset != NULL) {
            int byte = byte_of(operation->charset, code);
            if (byte < 0)
                return CW_NOT_TEXT;
            single = (uint8_t)byte;
            bytes = &single;
            count = 1;
        }
        if (size + count > operation->wire_length)
            return CW_OUTSIDE;
        for (size_t index = 0; to != NULL && index < count; index++)
            to[text_place(operation, size + index)] = bytes[index];
        size += count;
    }
    return CW_FITS;
}

static int encode_text(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    int outcome = text_to_wire(operation, from, NULL);
    if (outcome == CW_NOT_TEXT)
        return outcome;
    memset(to, 0, wire_text_size(operation));
    return text_to_wire(operation, from, to);
}

static int encode_texts(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    int worst = CW_FITS;
    for (uint32_t index = 0; index < operation->count; index++) {
        int outcome = encode_text(operation, from + index * (2 + text_size(operation)),
                                  to + index * wire_text_size(operation));
        worst = outcome > worst ? outcome : worst;
    }
    return worst;
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
        return encode_texts(operation, from, to);
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
