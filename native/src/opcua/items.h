/* Monitored items on tags of one OPC UA subscription (OPC 10000-4, 5.12 and 7.21).
 *
 * A table of items compares its tags with a block of the image at each sampling, keeps what changed in
 * a queue an item, and writes the queues out as the body of a DataChangeNotification. One thread.
 * Why C: the library takes 50 us a value from change to wire; here it is a tenth of one. */
#ifndef CW_OPCUA_ITEMS_H
#define CW_OPCUA_ITEMS_H
#include <stddef.h>
#include <stdint.h>

/* How a tag lies in the image; the same for all tables. */
struct cw_ua_tag {
    uint32_t offset; /* in the value area */
    uint32_t count;  /* elements; 0 for a scalar */
    uint16_t item_size; /* bytes of an element in the image */
    uint8_t code;    /* type of an element: CW_BOOL ... CW_STRING */
    uint8_t unused;
};

/* What a client asked of an item. Numbers of modes and triggers are those of the standard. */
struct cw_ua_settings {
    double deadband;     /* in units of the value; 0: none */
    uint32_t tag;
    uint32_t handle;     /* the client's */
    uint32_t first;      /* of an array: elements from here ... */
    uint32_t count;      /* ... so many; 0: all */
    uint32_t queue_size; /* at least 1 */
    uint8_t mode;        /* 0 disabled, 1 sampling, 2 reporting */
    uint8_t trigger;     /* 0 status, 1 status or value, 2 or source timestamp */
    uint8_t discard_oldest;
    uint8_t timestamps;  /* bit 0: source, bit 1: server */
    uint8_t links;       /* 1: other items are reported when this one changes (SetTriggering) */
};

/* A block of the image, or the part of it that items look at. */
struct cw_ua_block {
    const uint8_t *values;
    size_t value_size;
    const uint32_t *quality;
    const int64_t *stamps; /* source timestamps, UTC nanoseconds; 0: none yet */
    size_t tag_count;
    int64_t utc_ns;        /* the server's timestamp */
};

/* What the queues of all tables may take together. The last quarter is for first places only, so that
 * one client's long queues keep no other one's items out. */
struct cw_ua_budget {
    size_t used;
    size_t most;
};

struct cw_ua_table;

/* A table over these tags, which outlive it as the budget does, or NULL without memory. Its own queues
 * take at most `most_bytes`; beyond either bound an item's queue is as long as it is then. */
struct cw_ua_table *cw_ua_new(const struct cw_ua_tag *tags, size_t tag_count, size_t most_bytes,
                              struct cw_ua_budget *budget);
void cw_ua_free(struct cw_ua_table *table);

/* Bytes that the table holds, items and queues. */
size_t cw_ua_bytes(const struct cw_ua_table *table);

/* Adds an item: its number; -EINVAL for settings that do not fit, -ENOMEM without memory. The next
 * sampling queues the present value. */
int64_t cw_ua_add(struct cw_ua_table *table, const struct cw_ua_settings *settings);

/* Gives an item other settings (not another tag or range): 0 or as above. What is queued stays,
 * but for an item that becomes disabled. */
int64_t cw_ua_change(struct cw_ua_table *table, uint32_t item, const struct cw_ua_settings *settings);

void cw_ua_remove(struct cw_ua_table *table, uint32_t item);

/* The next sampling queues the present value as if it were new. */
void cw_ua_forget(struct cw_ua_table *table, uint32_t item);

/* Compares these items with the block. Numbers of changed items that have links go to `fired`, which
 * has room for `count`; how many, or -EINVAL when the block is not the image's. */
int64_t cw_ua_sample(struct cw_ua_table *table, const uint32_t *items, size_t count,
                     const struct cw_ua_block *block, uint32_t *fired);

/* A triggered item in mode sampling reports what it has queued. */
void cw_ua_report(struct cw_ua_table *table, uint32_t item);

/* True while there is something to report. */
int cw_ua_pending(const struct cw_ua_table *table);

/* Takes at most `most` notifications out and writes them, oldest first within an item, as the body of a
 * DataChangeNotification: bytes written, their number in `taken`. Ends early when `to` is full; -ENOSPC
 * when not even one fits. */
int64_t cw_ua_take(struct cw_ua_table *table, uint8_t *to, size_t size, size_t most, uint32_t *taken);

#endif
