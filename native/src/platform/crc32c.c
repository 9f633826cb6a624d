#include "platform/crc32c.h"

#include "platform/private.h"

/* One nibble at a time: 64 bytes of table instead of a kilobyte, for machines that rarely need it. */
static const uint32_t nibble[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1,
    0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
    0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

uint32_t cw_crc32c_portable(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t index = 0; index < size; index++) {
        crc ^= data[index];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data,
                                                                 size_t size)
{
    uint64_t state = ~crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        state = _mm_crc32_u64(state, word);
    }
    uint32_t rest = (uint32_t)state;
    for (; size != 0; size--, data++)
        rest = _mm_crc32_u8(rest, *data);
    return ~rest;
}

uint32_t cw_crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
    if (__builtin_cpu_supports("sse4.2"))
        return by_instruction(crc, data, size);
    return cw_crc32c_portable(crc, data, size);
}
#else
uint32_t cw_crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
    return cw_crc32c_portable(crc, data, size);
}
#endif
