/* Random histories of a table of monitored items, under the sanitizers: items_fuzz SEED STEPS.
 *
 * Every copy of the image and every buffer has exactly the size that is told, so that a byte read or
 * written beyond is found. Prints nothing; the budget must be empty at the end. */
#include "image/operation.h"
#include "opcua/items.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TAGS = 40, MOST_ITEMS = 300, MOST_BYTES = 200000 };

static uint64_t state = UINT64_C(88172645463325252);

static uint32_t below(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 11) % bound);
}

static const uint8_t WIDTH[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8};

static struct cw_ua_settings settings(uint32_t handle)
{
    /* Now and then something that fits nothing. */
    return (struct cw_ua_settings){
        .deadband = below(3) ? 0 : below(5),
        .tag = below(20) ? below(TAGS) : TAGS,
        .handle = handle,
        .count = below(4) ? 0 : 1 + below(3),
        .queue_size = below(20) ? 1 + below(12) : 0,
        .mode = (uint8_t)(below(20) ? below(3) : 3),
        .trigger = (uint8_t)(below(20) ? below(3) : 3),
        .discard_oldest = (uint8_t)below(2),
        .timestamps = (uint8_t)below(5),
        .links = (uint8_t)below(2),
    };
}

struct image {
    uint8_t *values;
    size_t size;
    uint32_t quality[TAGS];
    int64_t stamps[TAGS];
};

static void sample(struct cw_ua_table *table, const uint32_t *items, uint32_t count,
                   struct image *image, int64_t step)
{
    static uint32_t fired[MOST_ITEMS];
    for (size_t place = 0; place < image->size; place++)
        if (!below(3))
            image->values[place] = (uint8_t)below(256);
    for (int tag = 0; tag < TAGS; tag++) {
        image->quality[tag] = below(4) ? 0 : UINT32_C(0x80000000);
        image->stamps[tag] = below(3) ? step : (int64_t)state;
    }
    size_t told = below(50) ? image->size : below((uint32_t)image->size);
    uint8_t *copy = malloc(told ? told : 1);
    memcpy(copy, image->values, told);
    struct cw_ua_block block = {copy, told, image->quality, image->stamps, TAGS, step};
    cw_ua_sample(table, items, count, &block, fired);
    free(copy);
}

static void take(struct cw_ua_table *table)
{
    size_t size = below(3) ? 4096 : 8 + below(300);
    uint8_t *to = malloc(size);
    uint32_t taken = 0;
    int64_t written = cw_ua_take(table, to, size, below(3) ? 1000 : below(20), &taken);
    if (written > (int64_t)size)
        abort();
    free(to);
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    state += (uint64_t)atoi(words[1]);
    struct cw_ua_tag tags[TAGS];
    struct image image = {0};
    for (int tag = 0; tag < TAGS; tag++) {
        uint8_t code = (uint8_t)(CW_BOOL + tag % CW_STRING);
        uint16_t size = (uint16_t)(code == CW_STRING ? 2 + below(30) : WIDTH[code]);
        uint32_t elements = below(2) ? 0 : 1 + below(6);
        tags[tag] = (struct cw_ua_tag){(uint32_t)image.size, elements, size, code, 0};
        image.size += (size_t)size * (elements ? elements : 1);
    }
    image.values = calloc(1, image.size);
    struct cw_ua_budget budget = {0, MOST_BYTES + MOST_BYTES / 2};
    struct cw_ua_table *table = cw_ua_new(tags, TAGS, MOST_BYTES, &budget);
    static uint32_t items[MOST_ITEMS];
    static struct cw_ua_settings given[MOST_ITEMS];
    uint32_t held = 0;
    for (int step = 0, steps = atoi(words[2]); step < steps; step++) {
        uint32_t kind = below(10), one = held ? below(held) : 0;
        if (kind < 2 && held < MOST_ITEMS) {
            struct cw_ua_settings wanted = settings((uint32_t)step);
            int64_t number = cw_ua_add(table, &wanted);
            if (number >= 0) {
                items[held] = (uint32_t)number;
                given[held++] = wanted;
            }
        } else if (kind == 2 && held && !below(3)) {
            cw_ua_remove(table, items[one]);
            if (!below(9))
                cw_ua_remove(table, items[one]);
            items[one] = items[--held];
            given[one] = given[held];
        } else if (kind == 3 && held) {
            struct cw_ua_settings other = given[one];
            other.mode = (uint8_t)below(3);
            other.queue_size = 1 + below(12);
            other.timestamps = (uint8_t)below(4);
            if (cw_ua_change(table, items[one], &other) == 0)
                given[one] = other;
        } else if (kind == 4) {
            cw_ua_forget(table, below(400));
        } else if (kind == 5) {
            cw_ua_report(table, below(400));
        } else if (kind < 8) {
            sample(table, items, held, &image, step);
        } else {
            take(table);
        }
    }
    while (held)
        cw_ua_remove(table, items[--held]);
    if (budget.used != 0 || cw_ua_pending(table))
        abort();
    cw_ua_free(table);
    free(image.values);
    return 0;
}
