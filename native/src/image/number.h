/* Numbers on the wire and in the image; shared by decode.c and encode.c, not seen by Python. */
#ifndef CW_NUMBER_H
#define CW_NUMBER_H

#include "image/operation.h"
#include "platform/private.h"

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

static inline struct number number_of(uint8_t code, uint64_t raw)
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

static inline double as_double(struct number number)
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
static inline struct limits limits_of(uint8_t code)
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

static inline int is_floating(uint8_t code) { return code == CW_REAL || code == CW_LREAL; }

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
static inline uint64_t bits_of(struct number number, uint8_t code, int *outcome)
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

/* Bytes of a STRING's text in the image. */
static inline size_t text_size(const struct cw_operation *operation)
{
    return ((size_t)operation->length + 1) / 2 * 2;
}

/* And in the device, whole words. */
static inline size_t wire_text_size(const struct cw_operation *operation)
{
    return ((size_t)operation->wire_length + 1) / 2 * 2;
}

/* Where byte `index` of a text lies on the wire: two to a word. */
static inline size_t text_place(const struct cw_operation *operation, size_t index)
{
    return operation->order >= CW_BADC ? index ^ 1u : index;
}

static inline int in_range(const struct cw_operation *operation, double value)
{
    return (operation->flags & CW_RANGED) == 0 ||
           (value >= operation->range_low && value <= operation->range_high);
}

/* Reorders `count` elements; the loops are simple enough to be vectorised. */
static inline void reorder(const uint8_t *from, uint8_t *to, uint32_t count, uint8_t size,
                           uint8_t order)
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
static inline int any_not_finite(const uint8_t *from, uint32_t count, uint8_t size, uint8_t order)
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

/* The same as cw_decode and cw_encode for operations whose table has been checked. */
int cw_decode_checked(const struct cw_operation *operation, const uint8_t *payload,
                      uint8_t *values);
int cw_encode_checked(const struct cw_operation *operation, uint8_t *payload,
                      const uint8_t *values);

#endif
