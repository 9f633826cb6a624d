#include "image/changes.h"

#include "platform/private.h"

static int differ(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    switch (size) {
    case 1:
        return *a != *b;
    case 2: {
        uint16_t x, y;
        memcpy(&x, a, 2);
        memcpy(&y, b, 2);
        return x != y;
    }
    case 4: {
        uint32_t x, y;
        memcpy(&x, a, 4);
        memcpy(&y, b, 4);
        return x != y;
    }
    case 8: {
        uint64_t x, y;
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        return x != y;
    }
    default:
        return memcmp(a, b, size) != 0;
    }
}

static inline void mark(uint64_t *bitmap, size_t tag)
{
    bitmap[tag >> 6] |= UINT64_C(1) << (tag & 63);
}

static void compare_quality(const uint32_t *old_quality, const uint32_t *new_quality, size_t count,
                            uint64_t *bitmap)
{
    enum { STEP = 64 };
    for (size_t first = 0; first < count; first += STEP) {
        size_t size = count - first < STEP ? count - first : STEP;
        if (memcmp(old_quality + first, new_quality + first, size * sizeof *old_quality) == 0)
            continue;
        for (size_t tag = first; tag < first + size; tag++)
            if (old_quality[tag] != new_quality[tag])
                mark(bitmap, tag);
    }
}

int64_t cw_changes(const struct cw_run *runs, size_t run_count, const struct cw_place *places,
                   size_t place_count, const uint8_t *old_values, const uint8_t *new_values,
                   size_t value_size, const uint32_t *old_quality, const uint32_t *new_quality,
                   size_t tag_count, uint64_t *bitmap, size_t bitmap_words)
{
    if (bitmap_words < (tag_count + 63) / 64)
        return -EINVAL;
    for (size_t index = 0; index < run_count; index++) {
        const struct cw_run *run = &runs[index];
        if (run->offset > value_size || run->size > value_size - run->offset ||
            run->first > place_count || run->count > place_count - run->first)
            return -EINVAL;
        if (memcmp(old_values + run->offset, new_values + run->offset, run->size) == 0)
            continue;
        for (uint32_t which = run->first; which < run->first + run->count; which++) {
            const struct cw_place *place = &places[which];
            if (place->tag >= tag_count || place->offset > value_size ||
                place->size > value_size - place->offset)
                return -EINVAL;
            if (differ(old_values + place->offset, new_values + place->offset, place->size))
                mark(bitmap, place->tag);
        }
    }
    compare_quality(old_quality, new_quality, tag_count, bitmap);
    int64_t total = 0;
    for (size_t index = 0; index < bitmap_words; index++)
        total += __builtin_popcountll(bitmap[index]);
    return total;
}

size_t cw_take_bits(uint64_t *bitmap, size_t bitmap_words, uint32_t *tags, size_t max)
{
    size_t count = 0;
    for (size_t index = 0; index < bitmap_words; index++) {
        uint64_t word = bitmap[index];
        bitmap[index] = 0;
        for (; word != 0 && count < max; word &= word - 1)
            tags[count++] = (uint32_t)(index * 64 + (size_t)__builtin_ctzll(word));
    }
    return count;
}
