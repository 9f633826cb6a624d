#include "opcua/items.h"

#include "image/operation.h"
#include "platform/private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "OPC UA and the image are little-endian; big-endian machines are not supported"
#endif

enum { DISABLED = 0, SAMPLING = 1, REPORTING = 2 };
enum { ON_STATUS = 0, ON_VALUE = 1, ON_TIMESTAMP = 2 };

#define NONE UINT32_MAX
/* InfoType DataValue and the Overflow bit (OPC 10000-4, 7.39.1). */
#define OVERFLOW_BITS 0x480u
#define BAD_BIT 0x80000000u
/* 1970-01-01 in 100 ns since 1601-01-01. */
#define EPOCH_TICKS INT64_C(116444736000000000)
/* Bits of a DataValue's mask (OPC 10000-6, 5.2.2.17). */
#define HAS_VALUE 0x01u
#define HAS_STATUS 0x02u
#define HAS_SOURCE 0x04u
#define HAS_SERVER 0x08u
#define ARRAY_BIT 0x80u

struct head {
    int64_t source_ns, server_ns;
    uint32_t status;
    uint32_t unused;
};

struct item {
    struct cw_ua_settings set;
    uint32_t offset;   /* of the first element in the value area */
    uint32_t elements; /* 0 for a scalar */
    uint32_t bytes;    /* of the value */
    uint32_t entry;    /* bytes of a queue's entry: head and value */
    uint32_t capacity, start, length; /* of the queue */
    uint32_t next; /* in the list of what is to be reported; in the list of free items */
    uint32_t before; /* in the list of what is to be reported */
    uint32_t last_status;
    int64_t last_stamp;
    uint8_t *last; /* the last queued value, then the queue */
    uint8_t used, has_last, pending;
};

struct cw_ua_table {
    const struct cw_ua_tag *tags;
    size_t tag_count, most_bytes, bytes;
    struct cw_ua_budget *budget;
    struct item *items;
    uint32_t size, used, free; /* `used`: items ever used; `free`: list of those given back */
    uint32_t first, end;       /* list of pending items */
};

/* Bytes of an element in the image, and its built-in type (OPC 10000-6, 5.1.2), by its code. */
static const uint8_t WIDTH[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 0};
static const uint8_t VARIANT[] = {0, 1, 2, 4, 6, 8, 3, 5, 7, 9, 10, 11, 11, 12};

struct cw_ua_table *cw_ua_new(const struct cw_ua_tag *tags, size_t tag_count, size_t most_bytes,
                              struct cw_ua_budget *budget)
{
    struct cw_ua_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->tags = tags;
    table->tag_count = tag_count;
    table->most_bytes = most_bytes;
    table->budget = budget;
    table->free = table->first = table->end = NONE;
    return table;
}

void cw_ua_free(struct cw_ua_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t number = 0; number < table->used; number++)
        free(table->items[number].last);
    table->budget->used -= table->bytes;
    free(table->items);
    free(table);
}

size_t cw_ua_bytes(const struct cw_ua_table *table)
{
    return sizeof *table + table->size * sizeof *table->items + table->bytes;
}

static struct item *item_at(const struct cw_ua_table *table, uint32_t number)
{
    if (number >= table->used || !table->items[number].used)
        return NULL;
    return &table->items[number];
}

static int fits(const struct cw_ua_table *table, const struct cw_ua_settings *set)
{
    if (set->tag >= table->tag_count || set->queue_size == 0 || set->mode > REPORTING ||
        set->trigger > ON_TIMESTAMP || set->timestamps > 3 || !(set->deadband >= 0))
        return 0;
    const struct cw_ua_tag *tag = &table->tags[set->tag];
    if (tag->code < CW_BOOL || tag->code > CW_STRING)
        return 0;
    return set->count == 0 ? set->first == 0
                           : set->first < tag->count && set->count <= tag->count - set->first;
}

/* Bytes of the last value and a queue of `capacity`. */
static size_t store_size(const struct item *item, uint32_t capacity)
{
    return (((size_t)item->bytes + 7) & ~(size_t)7) + (size_t)capacity * item->entry;
}

static uint8_t *entry_at(const struct item *item, uint32_t place)
{
    uint32_t at = item->start + place;
    if (at >= item->capacity)
        at -= item->capacity;
    return item->last + store_size(item, 0) + (size_t)at * item->entry;
}

/* Makes the queue as long as that, in order from its beginning; 0, or -ENOMEM and nothing changes. */
static int resize(struct cw_ua_table *table, struct item *item, uint32_t capacity)
{
    size_t before = item->last == NULL ? 0 : store_size(item, item->capacity);
    size_t size = store_size(item, capacity);
    size_t most = capacity == 1 ? table->budget->most : table->budget->most / 4 * 3;
    if (size > before && (table->bytes + (size - before) > table->most_bytes ||
                          table->budget->used + (size - before) > most))
        return -ENOMEM;
    uint8_t *store = malloc(size);
    if (store == NULL)
        return -ENOMEM;
    uint32_t skip = item->length > capacity ? item->length - capacity : 0;
    if (item->last != NULL)
        memcpy(store, item->last, item->bytes);
    for (uint32_t place = skip; place < item->length; place++)
        memcpy(store + store_size(item, place - skip), entry_at(item, place), item->entry);
    free(item->last);
    item->last = store;
    item->length -= skip;
    item->start = 0;
    item->capacity = capacity;
    table->bytes = table->bytes - before + size;
    table->budget->used = table->budget->used - before + size;
    return 0;
}

static void pend(struct cw_ua_table *table, uint32_t number)
{
    struct item *item = &table->items[number];
    if (item->pending || item->length == 0)
        return;
    item->pending = 1;
    item->next = NONE;
    item->before = table->end;
    if (table->end == NONE)
        table->first = number;
    else
        table->items[table->end].next = number;
    table->end = number;
}

static void drop_pending(struct cw_ua_table *table, uint32_t number)
{
    struct item *item = &table->items[number];
    if (!item->pending)
        return;
    if (item->before == NONE)
        table->first = item->next;
    else
        table->items[item->before].next = item->next;
    if (item->next == NONE)
        table->end = item->before;
    else
        table->items[item->next].before = item->before;
    item->pending = 0;
}

int64_t cw_ua_add(struct cw_ua_table *table, const struct cw_ua_settings *settings)
{
    if (!fits(table, settings))
        return -EINVAL;
    uint32_t number = table->free;
    if (number == NONE) {
        if (table->used == table->size) {
            uint32_t size = table->size == 0 ? 16 : table->size + table->size / 2;
            if (size > INT32_MAX)
                return -ENOMEM;
            struct item *items = realloc(table->items, size * sizeof *items);
            if (items == NULL)
                return -ENOMEM;
            table->items = items;
            table->size = size;
        }
        number = table->used;
    }
    const struct cw_ua_tag *tag = &table->tags[settings->tag];
    uint32_t following = table->free == NONE ? NONE : table->items[number].next;
    struct item item = {.set = *settings, .used = 1, .next = NONE};
    item.elements = settings->count ? settings->count : tag->count;
    item.offset = tag->offset + settings->first * tag->item_size;
    uint64_t bytes = (uint64_t)(item.elements ? item.elements : 1) * tag->item_size;
    if (bytes > INT32_MAX)
        return -ENOMEM;
    item.bytes = (uint32_t)bytes;
    item.entry = (uint32_t)(sizeof(struct head) + ((bytes + 7) & ~(uint64_t)7));
    int failed = resize(table, &item, 1);
    if (failed)
        return failed;
    if (number == table->free)
        table->free = following;
    else
        table->used++;
    table->items[number] = item;
    return number;
}

int64_t cw_ua_change(struct cw_ua_table *table, uint32_t number, const struct cw_ua_settings *set)
{
    struct item *item = item_at(table, number);
    if (item == NULL || !fits(table, set) || set->tag != item->set.tag ||
        set->first != item->set.first || set->count != item->set.count)
        return -EINVAL;
    if (item->capacity > set->queue_size) {
        int failed = resize(table, item, set->queue_size);
        if (failed)
            return failed;
    }
    uint8_t before = item->set.mode;
    item->set = *set;
    if (set->mode == DISABLED) {
        drop_pending(table, number);
        item->length = 0;
    } else if (set->mode == SAMPLING && before == REPORTING) {
        drop_pending(table, number);
    }
    if (before == DISABLED)
        item->has_last = 0;
    if (set->mode == REPORTING)
        pend(table, number);
    return 0;
}

void cw_ua_remove(struct cw_ua_table *table, uint32_t number)
{
    struct item *item = item_at(table, number);
    if (item == NULL)
        return;
    drop_pending(table, number);
    table->bytes -= store_size(item, item->capacity);
    table->budget->used -= store_size(item, item->capacity);
    free(item->last);
    memset(item, 0, sizeof *item);
    item->next = table->free;
    table->free = number;
}

void cw_ua_forget(struct cw_ua_table *table, uint32_t number)
{
    struct item *item = item_at(table, number);
    if (item != NULL)
        item->has_last = 0;
}

void cw_ua_report(struct cw_ua_table *table, uint32_t number)
{
    struct item *item = item_at(table, number);
    if (item != NULL && item->set.mode != DISABLED)
        pend(table, number);
}

int cw_ua_pending(const struct cw_ua_table *table)
{
    return table->first != NONE;
}

/* --- what is a change ------------------------------------------------------------------------- */

static uint16_t text_length(const uint8_t *text, size_t item_size)
{
    uint16_t length;
    memcpy(&length, text, 2);
    return length > item_size - 2 ? (uint16_t)(item_size - 2) : length;
}

static double real_at(const uint8_t *from, uint8_t code)
{
    if (code == CW_REAL) {
        float value;
        memcpy(&value, from, 4);
        return value;
    }
    double value;
    memcpy(&value, from, 8);
    return value;
}

/* The integer and whether it is negative; its distance to another is exact in 64 bits. */
static uint64_t distance(const uint8_t *one, const uint8_t *other, uint8_t code)
{
    int64_t a = 0, b = 0;
    switch (code) {
    case CW_SINT:
        a = (int8_t)*one, b = (int8_t)*other;
        break;
    case CW_INT: {
        int16_t x, y;
        memcpy(&x, one, 2), memcpy(&y, other, 2);
        a = x, b = y;
        break;
    }
    case CW_DINT: {
        int32_t x, y;
        memcpy(&x, one, 4), memcpy(&y, other, 4);
        a = x, b = y;
        break;
    }
    case CW_LINT:
    case CW_TIME:
        memcpy(&a, one, 8), memcpy(&b, other, 8);
        break;
    default: {
        uint64_t x = 0, y = 0;
        memcpy(&x, one, WIDTH[code]), memcpy(&y, other, WIDTH[code]);
        return x > y ? x - y : y - x;
    }
    }
    return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* True when two elements whose bytes differ are a change. */
static int element_changed(const uint8_t *now, const uint8_t *last, uint8_t code, double deadband)
{
    switch (code) {
    case CW_REAL:
    case CW_LREAL: {
        double a = real_at(now, code), b = real_at(last, code);
        /* Written as negations, so that NaN is a change. */
        return deadband > 0 ? !(fabs(a - b) <= deadband) : !(a == b);
    }
    case CW_TIME:
        /* The deadband is in milliseconds, as the client sees the value. */
        return (long double)distance(now, last, code) > (long double)deadband * 1e6L;
    case CW_BOOL:
        return 1;
    default:
        return (long double)distance(now, last, code) > (long double)deadband;
    }
}

static int value_changed(const struct item *item, const struct cw_ua_tag *tag, const uint8_t *now)
{
    const uint8_t *last = item->last;
    if (memcmp(now, last, item->bytes) == 0)
        return 0;
    uint32_t count = item->elements ? item->elements : 1;
    for (uint32_t number = 0; number < count; number++) {
        const uint8_t *a = now + (size_t)number * tag->item_size;
        const uint8_t *b = last + (size_t)number * tag->item_size;
        if (tag->code == CW_STRING) {
            uint16_t length = text_length(a, tag->item_size);
            if (length != text_length(b, tag->item_size) || memcmp(a + 2, b + 2, length) != 0)
                return 1;
        } else if (memcmp(a, b, tag->item_size) != 0 &&
                   element_changed(a, b, tag->code, item->set.deadband)) {
            return 1;
        }
    }
    return 0;
}

static int changed(const struct item *item, const struct cw_ua_tag *tag, const uint8_t *now,
                   uint32_t status, int64_t stamp)
{
    if (!item->has_last || status != item->last_status)
        return 1;
    if (item->set.trigger == ON_STATUS)
        return 0;
    if (item->set.trigger == ON_TIMESTAMP && stamp != item->last_stamp)
        return 1;
    return !(status & BAD_BIT) && value_changed(item, tag, now);
}

/* --- queues ----------------------------------------------------------------------------------- */

static void mark_overflow(uint8_t *entry)
{
    struct head head;
    memcpy(&head, entry, sizeof head);
    head.status |= OVERFLOW_BITS;
    memcpy(entry, &head, sizeof head);
}

static void enqueue(struct cw_ua_table *table, struct item *item, const struct head *head,
                    const uint8_t *value)
{
    struct head kept = *head;
    if (item->length == item->capacity && item->capacity < item->set.queue_size) {
        uint32_t wanted = item->capacity > item->set.queue_size / 2 ? item->set.queue_size
                                                                     : item->capacity * 2;
        (void)resize(table, item, wanted); /* without memory the queue is as long as it is */
    }
    if (item->length == item->capacity) {
        if (item->capacity == 1) {
            item->length = 0;
            if (item->set.queue_size > 1)
                kept.status |= OVERFLOW_BITS;
        } else if (item->set.discard_oldest) {
            item->start = item->start + 1 == item->capacity ? 0 : item->start + 1;
            item->length--;
            mark_overflow(entry_at(item, 0));
        } else {
            item->length--;
            kept.status |= OVERFLOW_BITS;
        }
    }
    uint8_t *entry = entry_at(item, item->length++);
    memcpy(entry, &kept, sizeof kept);
    memcpy(entry + sizeof kept, value, item->bytes);
}

int64_t cw_ua_sample(struct cw_ua_table *table, const uint32_t *items, size_t count,
                     const struct cw_ua_block *block, uint32_t *fired)
{
    if (block->tag_count != table->tag_count)
        return -EINVAL;
    int64_t links = 0;
    for (size_t place = 0; place < count; place++) {
        uint32_t number = items[place];
        struct item *item = item_at(table, number);
        if (item == NULL || item->set.mode == DISABLED)
            continue;
        if ((size_t)item->offset + item->bytes > block->value_size)
            return -EINVAL;
        const struct cw_ua_tag *tag = &table->tags[item->set.tag];
        const uint8_t *now = block->values + item->offset;
        uint32_t status = block->quality[item->set.tag];
        int64_t stamp = block->stamps[item->set.tag];
        if (!changed(item, tag, now, status, stamp))
            continue;
        struct head head = {.source_ns = stamp, .server_ns = block->utc_ns, .status = status};
        memcpy(item->last, now, item->bytes);
        item->last_status = status;
        item->last_stamp = stamp;
        item->has_last = 1;
        enqueue(table, item, &head, now);
        if (item->set.mode == REPORTING)
            pend(table, number);
        if (item->set.links)
            fired[links++] = number;
    }
    return links;
}

/* --- on the wire ------------------------------------------------------------------------------ */

static uint8_t *put(uint8_t *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

static uint8_t *put_element(uint8_t *to, const uint8_t *from, const struct cw_ua_tag *tag)
{
    if (tag->code == CW_STRING) {
        int32_t length = text_length(from, tag->item_size);
        to = put(to, &length, 4);
        return put(to, from + 2, (size_t)length);
    }
    if (tag->code == CW_TIME) {
        int64_t time_ns;
        memcpy(&time_ns, from, 8);
        double time_ms = (double)time_ns / 1e6;
        return put(to, &time_ms, 8);
    }
    return put(to, from, WIDTH[tag->code]);
}

static uint8_t *put_time(uint8_t *to, int64_t utc_ns)
{
    int64_t us = utc_ns / 1000 - (utc_ns % 1000 < 0);
    int64_t ticks = EPOCH_TICKS + us * 10;
    return put(to, &ticks, 8);
}

/* Most bytes of one notification of this item. */
static size_t most_of(const struct item *item, const struct cw_ua_tag *tag)
{
    size_t count = item->elements ? item->elements : 1;
    size_t each = tag->code == CW_STRING ? 4 + (size_t)tag->item_size : WIDTH[tag->code];
    return 4 + 1 + 1 + 4 + count * each + 4 + 8 + 8;
}

static uint8_t *put_entry(uint8_t *to, const struct item *item, const struct cw_ua_tag *tag,
                          const uint8_t *entry)
{
    struct head head;
    memcpy(&head, entry, sizeof head);
    const uint8_t *value = entry + sizeof head;
    int source = (item->set.timestamps & 1) && head.source_ns != 0;
    int server = item->set.timestamps & 2;
    to = put(to, &item->set.handle, 4);
    *to++ = (uint8_t)(HAS_VALUE | HAS_STATUS | (source ? HAS_SOURCE : 0) | (server ? HAS_SERVER : 0));
    if (head.status & BAD_BIT) {
        *to++ = 0; /* a Bad value goes out as null (OPC 10000-4, 7.11.1) */
    } else {
        *to++ = (uint8_t)(VARIANT[tag->code] | (item->elements ? ARRAY_BIT : 0));
        if (item->elements)
            to = put(to, &item->elements, 4);
        uint32_t count = item->elements ? item->elements : 1;
        for (uint32_t number = 0; number < count; number++)
            to = put_element(to, value + (size_t)number * tag->item_size, tag);
    }
    to = put(to, &head.status, 4);
    if (source)
        to = put_time(to, head.source_ns);
    if (server)
        to = put_time(to, head.server_ns);
    return to;
}

int64_t cw_ua_take(struct cw_ua_table *table, uint8_t *to, size_t size, size_t most, uint32_t *taken)
{
    const int32_t no_diagnostics = -1;
    uint8_t *at = to + 4;
    uint32_t count = 0;
    int full = size < 8;
    while (!full && table->first != NONE && count < most) {
        struct item *item = &table->items[table->first];
        const struct cw_ua_tag *tag = &table->tags[item->set.tag];
        size_t need = most_of(item, tag);
        while (item->length > 0 && count < most) {
            if ((size_t)(at - to) + need + 4 > size) {
                full = 1;
                break;
            }
            at = put_entry(at, item, tag, entry_at(item, 0));
            item->start = item->start + 1 == item->capacity ? 0 : item->start + 1;
            item->length--;
            count++;
        }
        if (item->length == 0)
            drop_pending(table, table->first);
    }
    if (full && count == 0)
        return -ENOSPC;
    memcpy(to, &count, 4);
    at = put(at, &no_diagnostics, 4);
    *taken = count;
    return at - to;
}
