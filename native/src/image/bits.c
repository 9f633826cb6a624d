#include "image/bits.h"

#include "platform/private.h"

static int outside(size_t packed_size, size_t first, size_t count)
{
    size_t bits = packed_size * 8;
    return first > bits || count > bits - first;
}

/* Spreads the eight bits of a byte over the eight bytes of a word, least significant first. */
static inline uint64_t spread(uint8_t byte)
{
    uint64_t lanes = ((uint64_t)byte * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
    return ((lanes + UINT64_C(0x7F7F7F7F7F7F7F7F)) | lanes) >> 7 & UINT64_C(0x0101010101010101);
}

/* The inverse; any byte but 0 counts as 1. */
static inline uint8_t gather(const uint8_t *bytes)
{
    const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F);
    uint64_t word;
    memcpy(&word, bytes, 8);
    word = ((((word & low) + low) | word) & ~low) >> 7;
    return (uint8_t)(word * UINT64_C(0x0102040810204080) >> 56);
}

int cw_unpack_bits(const uint8_t *packed, size_t packed_size, size_t first, uint8_t *bytes,
                   size_t count)
{
    if (outside(packed_size, first, count))
        return -EINVAL;
    size_t index = 0;
    for (; index < count && ((first + index) & 7) != 0; index++)
        bytes[index] = packed[(first + index) >> 3] >> ((first + index) & 7) & 1;
    for (; count - index >= 8; index += 8) {
        uint64_t word = spread(packed[(first + index) >> 3]);
        memcpy(bytes + index, &word, 8);
    }
    for (; index < count; index++)
        bytes[index] = packed[(first + index) >> 3] >> ((first + index) & 7) & 1;
    return 0;
}

static inline void put_bit(uint8_t *packed, size_t position, uint8_t value)
{
    uint8_t mask = (uint8_t)(1u << (position & 7));
    if (value)
        packed[position >> 3] |= mask;
    else
        packed[position >> 3] &= (uint8_t)~mask;
}

int cw_pack_bits(uint8_t *packed, size_t packed_size, size_t first, const uint8_t *bytes,
                 size_t count)
{
    if (outside(packed_size, first, count))
        return -EINVAL;
    size_t index = 0;
    for (; index < count && ((first + index) & 7) != 0; index++)
        put_bit(packed, first + index, bytes[index]);
    for (; count - index >= 8; index += 8)
        packed[(first + index) >> 3] = gather(bytes + index);
    for (; index < count; index++)
        put_bit(packed, first + index, bytes[index]);
    return 0;
}
