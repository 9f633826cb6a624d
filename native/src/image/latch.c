#include "image/number.h"

#include "image/word.h"
#include "image/latch.h"
#include "image/snapshot.h"

struct state {
    int64_t utc_ns;
    uint32_t quality;
    uint32_t absent; /* bits of the parts that the device does not have */
};

static int is_bad(uint32_t quality) { return quality >> 31 != 0; }

struct target {
    uint8_t *values;
    uint32_t *quality;
    int64_t *timestamps;
    int64_t *monotonic;
    int64_t now_ns;
};

static uint32_t quality_of(uint32_t group, int outcome)
{
    if (outcome == CW_NOT_A_NUMBER)
        return CW_BAD_DEVICE_FAILURE;
    if (outcome == CW_NOT_TEXT)
        return CW_BAD_DECODING_ERROR;
    return outcome == CW_OUTSIDE ? (uint32_t)CW_UNCERTAIN_UNITS_EXCEEDED : group;
}

static void mark(struct target to, uint32_t first, uint32_t count, uint32_t quality,
                 int64_t utc_ns)
{
    for (uint32_t tag = first; tag < first + count; tag++)
        to.quality[tag] = quality;
    for (uint32_t tag = first; tag < first + count; tag++)
        to.timestamps[tag] = utc_ns;
}

/* A value is as old as its reading: a group that was not read again keeps its time, and so does
 * the value of a lost one. The wall clock, which may jump, only tells readings apart. */
static void remember(struct target to, const struct cw_operation *operation, int64_t utc_ns)
{
    for (uint32_t tag = operation->tag; tag < operation->tag + operation->tags; tag++)
        if (to.timestamps[tag] != utc_ns)
            to.monotonic[tag] = to.now_ns;
}

static void decode_operation(struct cw_operation *operation, const uint8_t *payload,
                             struct target to, struct state state)
{
    int outcome = cw_decode_checked(operation, payload, to.values);
    operation->known = 1;
    remember(to, operation, state.utc_ns);
    mark(to, operation->tag, operation->tags, quality_of(state.quality, outcome), state.utc_ns);
    if (outcome == CW_FITS || operation->tags == 1)
        return;
    /* Some of them: ask one by one. Decoding twice gives the same. */
    for (uint32_t which = 0; which < operation->tags; which++) {
        struct cw_operation one = cw_operation_of(operation, which);
        outcome = cw_decode_checked(&one, payload, to.values);
        to.quality[one.tag] = quality_of(state.quality, outcome);
    }
}

static size_t image_size(const struct cw_operation *operation)
{
    size_t item = operation->form == CW_FORM_TEXT ? ((size_t)operation->length + 3) / 2 * 2
                                                  : operation->size;
    return item * operation->count;
}

static void lose_operation(struct cw_table *table, const struct cw_operation *operation,
                           struct target to, struct state state)
{
    uint32_t quality = state.quality;
    if (quality == CW_BAD_OUT_OF_SERVICE || operation->on_loss == CW_FAULT) {
        /* The value stays; the quality says what is the matter. */
    } else if (operation->on_loss == CW_SUBSTITUTE) {
        memcpy(to.values + operation->value, table->substitutes + operation->value,
               image_size(operation));
        quality = CW_UNCERTAIN_SUBSTITUTE;
    } else if (operation->known) {
        quality = CW_UNCERTAIN_LAST_USABLE;
    }
    mark(to, operation->tag, operation->tags, quality, state.utc_ns);
}

/* The device has some of these addresses and not the others: each tag by itself. */
static void apply_partly(struct cw_table *table, struct cw_operation *operation,
                         const uint8_t *payload, struct target to, struct state state)
{
    struct state absent = {state.utc_ns, CW_BAD_DEVICE_FAILURE, 0};
    uint8_t known = 0;
    for (uint32_t which = 0; which < operation->tags; which++) {
        struct cw_operation one = cw_operation_of(operation, which);
        if (state.absent >> (table->parts[one.tag] & 31) & 1) {
            one.known = 0; /* another tag of the operation was read, not this one */
            lose_operation(table, &one, to, absent);
        } else if (is_bad(state.quality)) {
            lose_operation(table, &one, to, state);
            known |= one.known;
        } else {
            decode_operation(&one, payload, to, state);
            known |= one.known;
        }
    }
    operation->known = known;
}

static void apply_group(struct cw_table *table, const struct cw_device *device,
                        const struct cw_group *group, struct target to, struct state state)
{
    const uint8_t *payload = device->block + device->payload_at;
    for (uint32_t index = group->first; index < group->first + group->count; index++) {
        struct cw_operation *operation = &table->operations[index];
        if (state.absent)
            apply_partly(table, operation, payload, to, state);
        else if (is_bad(state.quality))
            lose_operation(table, operation, to, state);
        else
            decode_operation(operation, payload, to, state);
    }
}

static int is_loss(uint32_t quality)
{
    return quality == CW_BAD_NO_COMMUNICATION || quality == CW_BAD_DEVICE_FAILURE ||
           quality == CW_BAD_OUT_OF_SERVICE;
}

/* An output that its device has not taken is not Good, and is so again when it has. Commit judges
 * the value itself in each cycle after this; a tag that was never written stays what it is. */
static void mark_outputs(const struct cw_table *table, const struct cw_group *group,
                         struct target to, uint32_t quality)
{
    for (uint32_t index = group->first; index < group->first + group->count; index++) {
        const struct cw_operation *operation = &table->operations[index];
        for (uint32_t tag = operation->tag; tag < operation->tag + operation->tags; tag++)
            if (is_loss(to.quality[tag]) || (is_bad(quality) && to.quality[tag] >> 30 == 0))
                to.quality[tag] = is_bad(quality) ? quality : CW_GOOD;
    }
}

/* What the group counts as now: what the driver says, unless the driver itself is silent. */
static struct state state_of(const struct cw_device *device, size_t group, int64_t utc_ns)
{
    struct state state = {utc_ns, CW_BAD_WAITING_FOR_INITIAL_DATA, 0};
    if (device->sequence != 0)
        memcpy(&state, device->block + 8 + group * sizeof state, sizeof state);
    if (device->lost && state.quality != CW_BAD_OUT_OF_SERVICE)
        state = (struct state){utc_ns, CW_BAD_NO_COMMUNICATION, state.absent};
    return state;
}

static int latch_device(struct cw_table *table, struct cw_device *device, int64_t now_ns,
                        int64_t utc_ns, struct target to, int *faults)
{
    int64_t found = cw_snapshot_read(device->inputs, device->inputs_size, device->block,
                                     device->block_size, device->sequence, 3);
    if (found == -EINVAL)
        return -EINVAL;
    /* -EAGAIN: the copy may be torn, so take the whole again in the next cycle. */
    int fresh = found > 0;
    if (fresh)
        device->sequence = (uint64_t)found;
    if (device->first_ns == 0)
        device->first_ns = now_ns;
    int64_t beat = cw_load(device->status, device->status_size, device->beat_at);
    device->lost = now_ns - (beat != 0 ? beat : device->first_ns) > device->silence_ns;
    if (found == -EAGAIN)
        return 0;
    for (size_t index = 0; index < device->group_count; index++) {
        struct cw_group *group = &device->groups[index];
        struct state state = state_of(device, index, utc_ns);
        int bad = is_bad(state.quality);
        if (bad && group->faults && state.quality != CW_BAD_OUT_OF_SERVICE)
            *faults = 1;
        if (!bad && (state.absent & group->fault_parts))
            *faults = 1;
        if (group->output) {
            if (state.quality != CW_BAD_WAITING_FOR_INITIAL_DATA &&
                (bad || state.quality != group->quality))
                mark_outputs(table, group, to, state.quality);
            group->quality = state.quality;
            continue;
        }
        if (!device->dirty && state.quality == group->quality && (bad || !fresh))
            continue;
        apply_group(table, device, group, to, state);
        group->quality = state.quality;
    }
    device->dirty = 0;
    return fresh;
}

void cw_latch(struct cw_table *table, int64_t now_ns, int64_t utc_ns, struct cw_latched *latched)
{
    struct target to = {table->block + table->values_at,
                        (uint32_t *)(void *)(table->block + table->quality_at),
                        (int64_t *)(void *)(table->block + table->timestamps_at),
                        (int64_t *)(void *)(table->block + table->monotonic_at), now_ns};
    *latched = (struct cw_latched){-1, -1, 0, 0};
    for (size_t index = 0; index < table->device_count; index++) {
        struct cw_device *device = &table->devices[index];
        if (device->group_count == 0)
            continue;
        int faults = 0;
        int fresh = latch_device(table, device, now_ns, utc_ns, to, &faults);
        if (fresh < 0) {
            latched->error = fresh;
            return;
        }
        latched->fresh += (uint32_t)fresh;
        if (faults && latched->lost_fault < 0)
            latched->lost_fault = (int32_t)index;
        if (latched->tripped < 0 &&
            cw_load(device->status, device->status_size, device->trip_at) != 0)
            latched->tripped = (int32_t)index;
    }
}
