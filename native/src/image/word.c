#include "image/word.h"

#include "platform/private.h"

static int outside(size_t area_size, size_t offset)
{
    return (offset & 7) != 0 || area_size < 8 || offset > area_size - 8;
}

int64_t cw_load(const void *area, size_t area_size, size_t offset)
{
    if (outside(area_size, offset))
        return 0;
    const _Atomic int64_t *cell = (const _Atomic int64_t *)((const uint8_t *)area + offset);
    return atomic_load_explicit(cell, memory_order_acquire);
}

int cw_store(void *area, size_t area_size, size_t offset, int64_t value)
{
    if (outside(area_size, offset))
        return -EINVAL;
    _Atomic int64_t *cell = (_Atomic int64_t *)((uint8_t *)area + offset);
    atomic_store_explicit(cell, value, memory_order_release);
    return 0;
}

int64_t cw_add(void *area, size_t area_size, size_t offset, int64_t value)
{
    if (outside(area_size, offset))
        return 0;
    _Atomic int64_t *cell = (_Atomic int64_t *)((uint8_t *)area + offset);
    return atomic_fetch_add_explicit(cell, value, memory_order_acq_rel) + value;
}
