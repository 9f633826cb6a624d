#include "image/operation.h"

#include "image/changes.h"
#include "platform/private.h"
#include "image/publish.h"
#include "image/snapshot.h"

struct header {
    uint64_t cycle;
    int64_t mono_ns;
    int64_t utc_ns;
};

static void stamp(struct cw_table *table, const struct cw_publication *publication,
                  int64_t mono_ns, int64_t utc_ns)
{
    const uint32_t *quality = (const uint32_t *)(const void *)(table->block + table->quality_at);
    int64_t *timestamps = (int64_t *)(void *)(table->block + table->timestamps_at);
    int64_t *monotonic = (int64_t *)(void *)(table->block + table->monotonic_at);
    for (size_t index = 0; index < publication->bitmap_words; index++) {
        uint64_t word = publication->bitmap[index];
        publication->bitmap[index] = 0;
        for (; word != 0; word &= word - 1) {
            size_t bit = (size_t)__builtin_ctzll(word);
            size_t tag = index * 64 + bit;
            if (!(publication->stamped[index] >> bit & 1) && quality[tag] != CW_GOOD_LOCAL_OVERRIDE)
                continue;
            timestamps[tag] = utc_ns;
            monotonic[tag] = mono_ns;
        }
    }
}

int64_t cw_publish(struct cw_table *table, const struct cw_publication *publication,
                   uint64_t cycle, int64_t mono_ns, int64_t utc_ns)
{
    int64_t changed = (int64_t)table->tag_count;
    const uint8_t *last =
        cw_snapshot_newest(publication->area, publication->area_size, table->block_size);
    if (last == NULL) {
        for (size_t tag = 0; tag < table->tag_count; tag++)
            publication->bitmap[tag >> 6] |= UINT64_C(1) << (tag & 63);
    } else {
        changed = cw_changes(
            publication->runs, publication->run_count, publication->places,
            publication->place_count, last + table->values_at, table->block + table->values_at,
            table->value_size, (const uint32_t *)(const void *)(last + table->quality_at),
            (const uint32_t *)(const void *)(table->block + table->quality_at), table->tag_count,
            publication->bitmap, publication->bitmap_words);
        if (changed < 0)
            return changed;
    }
    if (changed != 0)
        stamp(table, publication, mono_ns, utc_ns);
    struct header header = {cycle, mono_ns, utc_ns};
    memcpy(table->block, &header, sizeof header);
    if (cw_snapshot_write(publication->area, publication->area_size, table->block,
                          table->block_size) < 0)
        return -EINVAL;
    return changed;
}
