#include "image/operation.h"

#include "image/latch.h"
#include "platform/private.h"
#include "recorder/recorder.h"
#include "rings/ring.h"

enum { WORD = 8, STRIDE = 32 * WORD };

size_t cw_record_region(const struct cw_table *table)
{
    return cw_round_up(table->quality_at + 4 * table->tag_count - table->values_at, WORD);
}

size_t cw_delta_longest(size_t size)
{
    /* Every second word changed: a gap and a count of at most ten bytes each for every one. */
    return cw_round_up(size / (2 * WORD) * (20 + WORD) + size + 64, WORD);
}

struct writer {
    uint8_t *at;
    uint8_t *end;
};

static int put_number(struct writer *to, size_t number)
{
    do {
        if (to->at == to->end)
            return -ENOSPC;
        *to->at++ = (uint8_t)((number & 0x7F) | (number > 0x7F ? 0x80 : 0));
        number >>= 7;
    } while (number != 0);
    return 0;
}

static int differs(const uint8_t *a, const uint8_t *b, size_t word)
{
    return memcmp(a + word * WORD, b + word * WORD, WORD) != 0;
}

int64_t cw_delta_take(uint8_t *old, const uint8_t *now, size_t size, uint8_t *delta,
                      size_t delta_size)
{
    if (size % WORD != 0)
        return -EINVAL;
    struct writer to = {delta, delta + delta_size};
    size_t words = size / WORD;
    size_t done = 0; /* words that a run or a gap has covered */
    size_t word = 0;
    while (word < words) {
        size_t left = (words - word) * WORD;
        size_t stride = left < STRIDE ? left : STRIDE;
        if (memcmp(old + word * WORD, now + word * WORD, stride) == 0) {
            word += stride / WORD;
            continue;
        }
        while (!differs(old, now, word))
            word++;
        size_t first = word;
        while (word < words && differs(old, now, word))
            word++;
        size_t bytes = (word - first) * WORD;
        if (put_number(&to, first - done) != 0 || put_number(&to, word - first) != 0 ||
            (size_t)(to.end - to.at) < bytes)
            return -ENOSPC;
        memcpy(to.at, now + first * WORD, bytes);
        memcpy(old + first * WORD, now + first * WORD, bytes);
        to.at += bytes;
        done = word;
    }
    return to.at - delta;
}

static int take_number(const uint8_t **at, const uint8_t *end, size_t *number)
{
    *number = 0;
    for (unsigned shift = 0; shift < 56; shift += 7) {
        if (*at == end)
            return -EBADMSG;
        uint8_t byte = *(*at)++;
        *number |= (size_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0)
            return 0;
    }
    return -EBADMSG;
}

int cw_delta_apply(uint8_t *region, size_t size, const uint8_t *delta, size_t delta_size)
{
    const uint8_t *at = delta;
    const uint8_t *end = delta + delta_size;
    size_t words = size / WORD;
    size_t word = 0;
    while (at != end) {
        size_t gap, count;
        if (take_number(&at, end, &gap) != 0 || take_number(&at, end, &count) != 0)
            return -EBADMSG;
        if (gap > words - word || count > words - word - gap || count > (size_t)(end - at) / WORD)
            return -EBADMSG;
        word += gap;
        memcpy(region + word * WORD, at, count * WORD);
        at += count * WORD;
        word += count;
    }
    return 0;
}

static int sound(const struct cw_recorder *recorder)
{
    const struct cw_table *table = recorder->table;
    size_t region = cw_record_region(table);
    return recorder->shadow_size == region && table->values_at <= table->block_size &&
           region <= table->block_size - table->values_at &&
           recorder->buffer_size >= sizeof(struct cw_record_head) + cw_delta_longest(region);
}

int cw_record_latched(struct cw_recorder *recorder, const struct cw_latched *latched)
{
    if (!sound(recorder))
        return -EINVAL;
    const struct cw_table *table = recorder->table;
    /* Where it will stand in the record: after the readings, whose number is not known yet. */
    size_t at = sizeof(struct cw_record_head) + recorder->readings_max * sizeof(int64_t);
    if (at > recorder->buffer_size)
        return -EINVAL;
    int64_t size = cw_delta_take(recorder->shadow, table->block + table->values_at,
                                 recorder->shadow_size, recorder->buffer + at,
                                 recorder->buffer_size - at);
    recorder->latched_size = size > 0 ? (size_t)size : 0;
    recorder->latched = *latched;
    return size < 0 ? (int)size : 0;
}

int64_t cw_record_settled(struct cw_recorder *recorder, uint64_t cycle, int64_t tick,
                          int64_t now_ns, int64_t utc_ns, uint32_t said, size_t readings,
                          const uint8_t *notes, size_t notes_size)
{
    if (!sound(recorder) || readings > recorder->readings_max)
        return -EINVAL;
    const struct cw_table *table = recorder->table;
    struct cw_record_head head = {0};
    uint8_t *buffer = recorder->buffer;
    size_t reserved = sizeof head + recorder->readings_max * sizeof(int64_t);
    if (reserved > recorder->buffer_size ||
        recorder->latched_size > recorder->buffer_size - reserved)
        return -EINVAL;
    size_t at = sizeof head + readings * sizeof(int64_t);
    memcpy(buffer + sizeof head, recorder->readings, readings * sizeof(int64_t));
    memmove(buffer + at, buffer + reserved, recorder->latched_size);
    at += recorder->latched_size;
    int64_t settled = cw_delta_take(recorder->shadow, table->block + table->values_at,
                                    recorder->shadow_size, buffer + at,
                                    recorder->buffer_size - at);
    if (settled < 0)
        return settled;
    at += (size_t)settled;
    if (notes_size > recorder->buffer_size - at)
        return -EMSGSIZE;
    if (notes_size != 0)
        memcpy(buffer + at, notes, notes_size);
    at += notes_size;
    head.cycle = cycle;
    head.tick = tick;
    head.now_ns = now_ns;
    head.utc_ns = utc_ns;
    head.lost_fault = recorder->latched.lost_fault;
    head.tripped = recorder->latched.tripped;
    head.fresh = recorder->latched.fresh;
    head.said = said;
    head.readings_size = (uint32_t)(readings * sizeof(int64_t));
    head.latched_size = (uint32_t)recorder->latched_size;
    head.settled_size = (uint32_t)settled;
    head.notes_size = (uint32_t)notes_size;
    memcpy(buffer, &head, sizeof head);
    recorder->latched_size = 0;
    if (recorder->producer == NULL)
        return (int64_t)at;
    return cw_ring_put(recorder->producer, recorder->producer_size, recorder->consumer,
                       recorder->consumer_size, buffer, at);
}
