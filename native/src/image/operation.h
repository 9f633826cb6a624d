/* The table that latch and commit work from: one operation a tag that has an address.
 *
 * Made once by cellwright.io.process_image.wire; the cycle only walks it. Payloads have the device's wire form:
 * bits packed eight to a byte, least significant first; 16-bit words big-endian. */
#ifndef CW_OPERATION_H
#define CW_OPERATION_H
#include <stddef.h>
#include <stdint.h>

/* Elementary types: the numbers of cellwright.io.plan.iec.Code. */
enum {
    CW_BOOL = 1,
    CW_SINT,
    CW_INT,
    CW_DINT,
    CW_LINT,
    CW_USINT,
    CW_UINT,
    CW_UDINT,
    CW_ULINT,
    CW_REAL,
    CW_LREAL,
    CW_TIME,
    CW_STRING
};

/* Qualities: the numbers of cellwright.io.plan.quality. */
enum {
    CW_GOOD = 0x00000000,
    CW_GOOD_LOCAL_OVERRIDE = 0x00960000,
    CW_UNCERTAIN_LAST_USABLE = 0x40900000,
    CW_UNCERTAIN_SUBSTITUTE = 0x40910000,
    CW_UNCERTAIN_UNITS_EXCEEDED = 0x40940000
};
#define CW_BAD_ENCODING_ERROR 0x80060000u
#define CW_BAD_DECODING_ERROR 0x80070000u
#define CW_BAD_NO_COMMUNICATION 0x80310000u
#define CW_BAD_WAITING_FOR_INITIAL_DATA 0x80320000u
#define CW_BAD_DEVICE_FAILURE 0x808B0000u
#define CW_BAD_OUT_OF_SERVICE 0x808D0000u

/* How the value lies in the payload. */
enum {
    CW_FORM_BITS,     /* from bit `bit` of byte `place`, packed */
    CW_FORM_WORD_BIT, /* bit `bit` (0-15) of the word at `place` */
    CW_FORM_COPY,     /* the tag's own type, unscaled: only the bytes change places */
    CW_FORM_NUMBER,   /* converted or scaled */
    CW_FORM_TEXT      /* bytes of a STRING, two a word, ended by a zero byte */
};

enum { CW_ABCD, CW_CDAB, CW_BADC, CW_DCBA };
enum { CW_HOLD, CW_SUBSTITUTE, CW_FAULT };
enum {
    CW_SCALED = 1, /* engineering value = gain * raw + offset */
    CW_RANGED = 2  /* engineering value in range_low..range_high */
};

/* One tag, or several of one kind that lie one behind the other on both sides. */
struct cw_operation {
    uint32_t tag;    /* the first */
    uint32_t tags;   /* how many, with consecutive indexes */
    uint32_t value;  /* byte offset in the value area */
    uint32_t place;  /* byte offset in the payload */
    uint32_t count;  /* elements of all tags together */
    uint16_t length; /* bytes of a STRING, in the image as UTF-8 */
    uint16_t wire_length; /* and in the device */
    uint8_t bit;
    uint8_t form;
    uint8_t wire; /* type in the device */
    uint8_t code; /* type of the tag */
    uint8_t order;
    uint8_t flags;
    uint8_t on_loss;
    uint8_t known;   /* latch: a value was read; commit: a quality is this operation's doing */
    uint8_t size;    /* bytes of an element in the image, 0 for STRING */
    uint8_t wire_size;
    double gain;
    double offset;
    double raw_low;
    double raw_high;
    double range_low;
    double range_high;
    /* Of a STRING: code point of each of 256 bytes, 0 for none; NULL: UTF-8. */
    const uint16_t *charset;
};

/* A poll group of a device. */
struct cw_group {
    uint32_t first; /* its operations */
    uint32_t count;
    uint32_t output;
    uint32_t fault_parts; /* bits of the parts whose absence must fault the cell */
    uint32_t quality;     /* as last applied */
    uint32_t faults;      /* 1: its loss must fault the cell */
};

struct cw_device {
    const uint8_t *inputs; /* snapshot area of the staged inputs */
    size_t inputs_size;
    uint8_t *block; /* private copy of the newest: time, states, payload */
    size_t block_size;
    size_t payload_at; /* of the payload in the block */
    size_t payload_size;
    const uint8_t *status; /* the driver's record */
    size_t status_size;
    size_t beat_at;
    size_t trip_at;
    struct cw_group *groups;
    size_t group_count;
    int64_t silence_ns; /* a driver silent for longer counts as lost */
    int64_t first_ns;   /* first latch; 0 before */
    uint64_t sequence;  /* of the block */
    uint32_t dirty;     /* apply the block again although nothing is new */
    uint32_t lost;
    uint8_t *outputs; /* snapshot area of the outputs */
    size_t outputs_size;
    uint8_t *committed; /* payload as committed last */
    const uint8_t *safe;
    const uint8_t *hold; /* bits set where the safe action is hold */
    size_t output_size;
    uint32_t output_first; /* its output operations */
    uint32_t output_count;
};

/* The scan's working block and everything that a cycle needs to fill and publish it. */
struct cw_table {
    uint8_t *block; /* in the layout of the published one */
    size_t block_size;
    size_t values_at;
    size_t value_size;
    size_t quality_at;
    size_t timestamps_at;
    size_t monotonic_at; /* when each value was got, in monotonic time; 0 before */
    size_t tag_count;
    const uint8_t *parts; /* tag_count bytes: the bit that says that its device has no such address */
    const uint8_t *substitutes; /* value_size bytes */
    struct cw_operation *operations;
    size_t operation_count;
    struct cw_device *devices;
    size_t device_count;
};

/* What one item of the payload comes to. */
enum { CW_FITS, CW_OUTSIDE, CW_NOT_A_NUMBER, CW_NOT_TEXT };

/* True when the operation stays within both memories and the tag table. */
int cw_operation_fits(const struct cw_operation *operation, size_t payload_size,
                      size_t value_size, size_t tag_count);

/* The same for a whole table, its devices and groups; 0 or -EINVAL. Latch and commit rely on it:
 * to be called once when the table is made. */
int cw_table_check(const struct cw_table *table);

/* One of the merged tags as an operation of its own. */
struct cw_operation cw_operation_of(const struct cw_operation *operation, uint32_t which);

/* Decodes all elements of one operation into the value area: the worst of the outcomes above, or
 * -EINVAL when it does not fit. Elements that are no number, or no text in their encoding, keep their value. */
int cw_decode(const struct cw_operation *operation, const uint8_t *payload, size_t payload_size,
              uint8_t *values, size_t value_size);

/* The inverse: scaled, clamped, rounded half away from zero. CW_OUTSIDE when it was clamped or cut;
 * an element that is not a finite number, or a text that the device's encoding does not have, keeps
 * its bytes in the payload. */
int cw_encode(const struct cw_operation *operation, uint8_t *payload, size_t payload_size,
              const uint8_t *values, size_t value_size);

#endif
