#include "bits.h"
#include "operation.h"
#include "private.h"

#include <math.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the image is little-endian; big-endian machines are not supported"
#endif

/* The order is given for big-endian words; each case is its own inverse. */
static inline uint16_t order16(uint16_t raw, uint8_t order)
{
    return order >= CW_BADC ? raw : __builtin_bswap16(raw);
}

static inline uint32_t order32(uint32_t raw, uint8_t order)
{
    switch (order) {
    case CW_ABCD:
        return __builtin_bswap32(raw);
    case CW_CDAB:
        return (raw & 0x00FF00FFu) << 8 | (raw >> 8 & 0x00FF00FFu);
    case CW_BADC:
        return raw << 16 | raw >> 16;
    default:
        return raw;
    }
}

static inline uint64_t order64(uint64_t raw, uint8_t order)
{
    const uint64_t odd = UINT64_C(0x00FF00FF00FF00FF);
    uint64_t swapped = __builtin_bswap64(raw);
    switch (order) {
    case CW_ABCD:
        return swapped;
    case CW_CDAB:
        return (raw & odd) << 8 | (raw >> 8 & odd);
    case CW_BADC:
        return (swapped & odd) << 8 | (swapped >> 8 & odd);
    default:
        return raw;
    }
}

static inline uint64_t load_raw(const uint8_t *from, uint8_t size, uint8_t order)
{
    if (size == 2) {
        uint16_t raw;
        memcpy(&raw, from, 2);
        return order16(raw, order);
    }
    if (size == 4) {
        uint32_t raw;
        memcpy(&raw, from, 4);
        return order32(raw, order);
    }
    uint64_t raw;
    memcpy(&raw, from, 8);
    return order64(raw, order);
}

static inline void store_raw(uint8_t *to, uint64_t raw, uint8_t size, uint8_t order)
{
    if (size == 2) {
        uint16_t word = order16((uint16_t)raw, order);
        memcpy(to, &word, 2);
    } else if (size == 4) {
        uint32_t word = order32((uint32_t)raw, order);
        memcpy(to, &word, 4);
    } else {
        raw = order64(raw, order);
        memcpy(to, &raw, 8);
    }
}

/* A number of any elementary type, without loss. */
struct number {
    enum { SIGNED, UNSIGNED, FLOATING } kind;
    union {
        int64_t i;
        uint64_t u;
        double d;
    } is;
};

static struct number number_of(uint8_t code, uint64_t raw)
{
    float real;
    uint32_t low = (uint32_t)raw;
    struct number number = {.kind = SIGNED};
    switch (code) {
    case CW_SINT:
        number.is.i = (int8_t)raw;
        break;
    case CW_INT:
        number.is.i = (int16_t)raw;
        break;
    case CW_DINT:
        number.is.i = (int32_t)raw;
        break;
    case CW_LINT:
    case CW_TIME:
        number.is.i = (int64_t)raw;
        break;
    case CW_REAL:
        memcpy(&real, &low, 4);
        number.kind = FLOATING;
        number.is.d = real;
        break;
    case CW_LREAL:
        number.kind = FLOATING;
        memcpy(&number.is.d, &raw, 8);
        break;
    case CW_USINT:
    case CW_BOOL:
        number.kind = UNSIGNED;
        number.is.u = (uint8_t)raw;
        break;
    case CW_UINT:
        number.kind = UNSIGNED;
        number.is.u = (uint16_t)raw;
        break;
    case CW_UDINT:
        number.kind = UNSIGNED;
        number.is.u = low;
        break;
    default:
        number.kind = UNSIGNED;
        number.is.u = raw;
        break;
    }
    return number;
}

static double as_double(struct number number)
{
    if (number.kind == SIGNED)
        return (double)number.is.i;
    return number.kind == UNSIGNED ? (double)number.is.u : number.is.d;
}

struct limits {
    int64_t low;
    uint64_t high;
};

/* Limits of the integer types, by code; not one: high 0. */
static struct limits limits_of(uint8_t code)
{
    switch (code) {
    case CW_BOOL:
        return (struct limits){0, 1};
    case CW_SINT:
        return (struct limits){INT8_MIN, INT8_MAX};
    case CW_INT:
        return (struct limits){INT16_MIN, INT16_MAX};
    case CW_DINT:
        return (struct limits){INT32_MIN, INT32_MAX};
    case CW_LINT:
    case CW_TIME:
        return (struct limits){INT64_MIN, INT64_MAX};
    case CW_USINT:
        return (struct limits){0, UINT8_MAX};
    case CW_UINT:
        return (struct limits){0, UINT16_MAX};
    case CW_UDINT:
        return (struct limits){0, UINT32_MAX};
    case CW_ULINT:
        return (struct limits){0, UINT64_MAX};
    default:
        return (struct limits){0, 0};
    }
}

static int is_floating(uint8_t code) { return code == CW_REAL || code == CW_LREAL; }

/* Rounds half away from zero. Inline: the library call is most of an encoding. */
static inline double half_away(double value)
{
    if (!(value > -0x1p52 && value < 0x1p52))
        return value; /* whole already, or infinite */
    double whole = (double)(int64_t)value;
    double part = value - whole;
    return whole + (part >= 0.5) - (part <= -0.5);
}

/* The bits of `number` in type `code`, clamped into it; rounds half away from zero. */
static uint64_t bits_of(struct number number, uint8_t code, int *outcome)
{
    uint64_t raw = 0;
    if (is_floating(code)) {
        double value = as_double(number);
        if (code == CW_LREAL) {
            memcpy(&raw, &value, 8);
            return raw;
        }
        float real = (float)value;
        if (isinf(real) && !isinf(value)) {
            real = value > 0 ? 0x1.fffffep127f : -0x1.fffffep127f;
            *outcome = CW_OUTSIDE;
        }
        uint32_t low;
        memcpy(&low, &real, 4);
        return low;
    }
    struct limits limits = limits_of(code);
    if (number.kind == FLOATING) {
        double value = half_away(number.is.d);
        /* As doubles, the limits 2^63-1 and 2^64-1 become 2^63 and 2^64: too large by one. */
        if (value < (double)limits.low) {
            *outcome = CW_OUTSIDE;
            return (uint64_t)limits.low;
        }
        double beyond = (double)limits.high;
        if (limits.high < UINT64_C(1) << 53 ? value > beyond : value >= beyond) {
            *outcome = CW_OUTSIDE;
            return limits.high;
        }
        return value < 0 ? (uint64_t)(int64_t)value : (uint64_t)value;
    }
    if (number.kind == SIGNED && number.is.i < 0) {
        if (number.is.i < limits.low) {
            *outcome = CW_OUTSIDE;
            return (uint64_t)limits.low;
        }
        return (uint64_t)number.is.i;
    }
    if (number.is.u > limits.high) {
        *outcome = CW_OUTSIDE;
        return limits.high;
    }
    return number.is.u;
}

static inline uint64_t load_image(const uint8_t *from, uint8_t size)
{
    uint64_t raw = 0;
    memcpy(&raw, from, size);
    return raw;
}

/* Bytes of a STRING's text, on the wire and in the image. */
static size_t text_size(const struct cw_operation *operation)
{
    return ((size_t)operation->length + 1) / 2 * 2;
}

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
        wire = operation->place + text_size(operation) * operation->count;
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
        if (!in_use(table, group->first, group->count, device->payload_size))
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
    size_t end_of_stamps = table->timestamps_at + 8 * table->tag_count;
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
        one.place += (uint32_t)text_size(operation) * elements;
        one.value += (uint32_t)(2 + text_size(operation)) * elements;
    } else {
        one.place += one.wire_size * elements;
        one.value += one.size * elements;
    }
    return one;
}

static int in_range(const struct cw_operation *operation, double value)
{
    return (operation->flags & CW_RANGED) == 0 ||
           (value >= operation->range_low && value <= operation->range_high);
}

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

static void decode_text(const struct cw_operation *operation, const uint8_t *from, uint8_t *to)
{
    size_t wire = text_size(operation);
    uint8_t *bytes = to + 2;
    uint16_t length = 0;
    memset(to, 0, 2 + wire);
    for (; length < operation->length; length++) {
        size_t index = operation->order >= CW_BADC ? length ^ 1u : length;
        if (from[index] == 0)
            break;
        bytes[length] = from[index];
    }
    memcpy(to, &length, 2);
}

/* Reorders `count` elements; the loops are simple enough to be vectorised. */
static void reorder(const uint8_t *from, uint8_t *to, uint32_t count, uint8_t size, uint8_t order)
{
    if (size == 2) {
        for (uint32_t index = 0; index < count; index++) {
            uint16_t raw;
            memcpy(&raw, from + 2 * index, 2);
            raw = order16(raw, order);
            memcpy(to + 2 * index, &raw, 2);
        }
    } else if (size == 4) {
        for (uint32_t index = 0; index < count; index++) {
            uint32_t raw;
            memcpy(&raw, from + 4 * index, 4);
            raw = order32(raw, order);
            memcpy(to + 4 * index, &raw, 4);
        }
    } else {
        for (uint32_t index = 0; index < count; index++) {
            uint64_t raw;
            memcpy(&raw, from + 8 * index, 8);
            raw = order64(raw, order);
            memcpy(to + 8 * index, &raw, 8);
        }
    }
}

/* True when one of the REAL or LREAL elements is infinite or not a number. */
static int any_not_finite(const uint8_t *from, uint32_t count, uint8_t size, uint8_t order)
{
    uint32_t found = 0;
    if (size == 4) {
        for (uint32_t index = 0; index < count; index++) {
            uint32_t raw;
            memcpy(&raw, from + 4 * index, 4);
            found |= (order32(raw, order) & 0x7F800000u) == 0x7F800000u;
        }
    } else {
        const uint64_t exponent = UINT64_C(0x7FF0000000000000);
        for (uint32_t index = 0; index < count; index++) {
            uint64_t raw;
            memcpy(&raw, from + 8 * index, 8);
            found |= (order64(raw, order) & exponent) == exponent;
        }
    }
    return found != 0;
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

int cw_decode(const struct cw_operation *operation, const uint8_t *payload, uint8_t *values)
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
        for (uint32_t index = 0; index < operation->count; index++)
            decode_text(operation, from + index * text_size(operation),
                        to + index * (2 + text_size(operation)));
        return CW_FITS;
    default:
        return decode_numbers(operation, from, to);
    }
}

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

int cw_encode(const struct cw_operation *operation, uint8_t *payload, const uint8_t *values)
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
