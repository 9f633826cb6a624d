/* Texts: UTF-8 in the image, UTF-8 or bytes of a charset in the device. Seen by decode and encode. */
#ifndef CW_TEXT_H
#define CW_TEXT_H
#include <stddef.h>
#include <stdint.h>

/* Code point of the UTF-8 sequence at the beginning of `text` and, in `length`, its bytes; -1 when
 * there is none (RFC 3629: shortest forms only, no surrogates). `size` is at least 1. */
int32_t cw_utf8_take(const uint8_t *text, size_t size, size_t *length);

/* The inverse for code points to 0xFFFF: writes one to three bytes, and says how many. */
size_t cw_utf8_put(uint16_t code, uint8_t *to);

#endif
