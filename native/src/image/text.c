#include "image/text.h"

static size_t sequence(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if ((first & 0xF0) == 0xE0)
        return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

int32_t cw_utf8_take(const uint8_t *text, size_t size, size_t *length)
{
    static const uint8_t kept[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    static const int32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    *length = sequence(text[0]);
    if (*length == 0 || *length > size)
        return -1;
    int32_t code = text[0] & kept[*length];
    for (size_t index = 1; index < *length; index++) {
        if ((text[index] & 0xC0) != 0x80)
            return -1;
        code = code << 6 | (text[index] & 0x3F);
    }
    if (code < smallest[*length] || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF)
        return -1;
    return code;
}

size_t cw_utf8_put(uint16_t code, uint8_t *to)
{
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (uint8_t)(0xC0 | code >> 6);
        to[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    to[0] = (uint8_t)(0xE0 | code >> 12);
    to[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    to[2] = (uint8_t)(0x80 | (code & 0x3F));
    return 3;
}
