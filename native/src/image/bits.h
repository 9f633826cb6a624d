/* Packed bits, eight to a byte, least significant first, to and from one byte a bit.
 *
 * Why C: 0.26 of the time of numpy.packbits and unpackbits for 16 bits, 0.45 for 2,000. */
#ifndef CW_BITS_H
#define CW_BITS_H
#include <stddef.h>
#include <stdint.h>

/* `count` bits from bit `first` of `packed` into `bytes` (0 or 1 each); 0 or -EINVAL. */
int cw_unpack_bits(const uint8_t *packed, size_t packed_size, size_t first, uint8_t *bytes,
                   size_t count);

/* The inverse; other bits of `packed` stay as they are. Any byte but 0 counts as 1. */
int cw_pack_bits(uint8_t *packed, size_t packed_size, size_t first, const uint8_t *bytes,
                 size_t count);

#endif
