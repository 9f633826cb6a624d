#include "rings/commands.h"
#include "platform/crc32c.h"
#include "platform/private.h"

#include <signal.h>
#include <sys/types.h>

enum { FREE, WRITING, READY };

/* State words: generation (30 bits), process (32), stage (2). */
static uint64_t word(uint64_t generation, uint32_t process, unsigned stage)
{
    return generation << 34 | (uint64_t)process << 2 | stage;
}

static unsigned stage_of(uint64_t state) { return state & 3; }
static uint32_t process_of(uint64_t state) { return (uint32_t)(state >> 2); }
static uint64_t generation_of(uint64_t state) { return state >> 34; }

struct head {
    _Atomic uint64_t tickets; /* drawn so far */
    uint8_t pad[CW_LINE - 8];
};

struct slot {
    uint64_t ticket;
    uint32_t length;
    uint32_t crc; /* over ticket and bytes */
};

static size_t states_size(size_t slots) { return cw_round_up(slots * 8, CW_LINE); }

size_t cw_commands_size(size_t slots, size_t slot_size)
{
    return sizeof(struct head) + states_size(slots) + slots * slot_size;
}

static int fits(size_t area_size, size_t slots, size_t slot_size)
{
    return slots != 0 && slot_size > sizeof(struct slot) && (slot_size & 7) == 0 &&
           slots <= area_size / slot_size && cw_commands_size(slots, slot_size) <= area_size;
}

static _Atomic uint64_t *states_of(void *area)
{
    return (_Atomic uint64_t *)((uint8_t *)area + sizeof(struct head));
}

static uint8_t *slot_of(void *area, size_t slots, size_t slot_size, size_t index)
{
    return (uint8_t *)area + sizeof(struct head) + states_size(slots) + index * slot_size;
}

static uint32_t check(uint64_t ticket, const uint8_t *data, size_t length)
{
    return cw_crc32c(cw_crc32c(0, (const uint8_t *)&ticket, sizeof ticket), data, length);
}

int64_t cw_commands_send(void *area, size_t area_size, size_t slots, size_t slot_size,
                         uint32_t process, const uint8_t *data, size_t length)
{
    if (!fits(area_size, slots, slot_size))
        return -EINVAL;
    if (length > slot_size - sizeof(struct slot))
        return -EMSGSIZE;
    struct head *head = area;
    _Atomic uint64_t *states = states_of(area);
    size_t start = atomic_load_explicit(&head->tickets, memory_order_relaxed) % slots;
    for (size_t tried = 0; tried < slots; tried++) {
        size_t index = (start + tried) % slots;
        uint64_t state = atomic_load_explicit(&states[index], memory_order_relaxed);
        if (stage_of(state) != FREE)
            continue;
        uint64_t claim = word(generation_of(state), process, WRITING);
        if (!atomic_compare_exchange_strong_explicit(&states[index], &state, claim,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        uint8_t *bytes = slot_of(area, slots, slot_size, index);
        memcpy(bytes + sizeof(struct slot), data, length);
        uint64_t ticket =
            atomic_fetch_add_explicit(&head->tickets, 1, memory_order_relaxed) + 1;
        struct slot slot = {ticket, (uint32_t)length, check(ticket, data, length)};
        memcpy(bytes, &slot, sizeof slot);
        uint64_t ready = word(generation_of(claim), process, READY);
        if (!atomic_compare_exchange_strong_explicit(&states[index], &claim, ready,
                                                     memory_order_release, memory_order_relaxed))
            return -ECANCELED;
        return (int64_t)ticket;
    }
    return -EAGAIN;
}

struct candidate {
    uint64_t ticket;
    size_t index;
};

/* The `max` lowest tickets among the committed slots, in order. */
static size_t oldest(void *area, size_t slots, size_t slot_size, struct candidate *found,
                     size_t max)
{
    _Atomic uint64_t *states = states_of(area);
    size_t count = 0;
    for (size_t index = 0; index < slots; index++) {
        if (stage_of(atomic_load_explicit(&states[index], memory_order_acquire)) != READY)
            continue;
        struct candidate one = {.index = index};
        memcpy(&one.ticket, slot_of(area, slots, slot_size, index), sizeof one.ticket);
        size_t place = count < max ? count++ : max;
        while (place > 0 && found[place - 1].ticket > one.ticket) {
            if (place < max)
                found[place] = found[place - 1];
            place--;
        }
        if (place < max)
            found[place] = one;
    }
    return count;
}

int cw_commands_receive(void *area, size_t area_size, size_t slots, size_t slot_size,
                        uint8_t *buffer, size_t buffer_size, struct cw_command *commands,
                        size_t max)
{
    if (!fits(area_size, slots, slot_size) || max > CW_MOST_COMMANDS ||
        buffer_size / slot_size < max)
        return -EINVAL;
    struct candidate found[CW_MOST_COMMANDS];
    size_t count = oldest(area, slots, slot_size, found, max);
    for (size_t index = 0; index < count; index++) {
        uint8_t *bytes = slot_of(area, slots, slot_size, found[index].index);
        uint32_t offset = (uint32_t)(index * slot_size);
        struct slot slot;
        memcpy(&slot, bytes, sizeof slot);
        struct cw_command *command = &commands[index];
        *command = (struct cw_command){slot.ticket, offset, -EBADMSG};
        if (slot.length <= slot_size - sizeof slot) {
            memcpy(buffer + offset, bytes + sizeof slot, slot.length);
            if (check(slot.ticket, buffer + offset, slot.length) == slot.crc)
                command->length = (int32_t)slot.length;
        }
        _Atomic uint64_t *state = &states_of(area)[found[index].index];
        uint64_t next = generation_of(atomic_load_explicit(state, memory_order_relaxed)) + 1;
        atomic_store_explicit(state, word(next, 0, FREE), memory_order_release);
    }
    return (int)count;
}

int cw_commands_recover(void *area, size_t area_size, size_t slots, size_t slot_size)
{
    if (!fits(area_size, slots, slot_size))
        return -EINVAL;
    int freed = 0;
    for (size_t index = 0; index < slots; index++) {
        _Atomic uint64_t *state = &states_of(area)[index];
        uint64_t now = atomic_load_explicit(state, memory_order_relaxed);
        if (stage_of(now) == FREE || stage_of(now) == READY)
            continue;
        pid_t process = (pid_t)process_of(now);
        int alive = process > 0 && (kill(process, 0) == 0 || errno != ESRCH);
        if (stage_of(now) == WRITING && alive)
            continue;
        uint64_t next = word(generation_of(now) + 1, 0, FREE);
        if (atomic_compare_exchange_strong_explicit(state, &now, next, memory_order_acq_rel,
                                                    memory_order_relaxed))
            freed++;
    }
    return freed;
}

struct answers {
    _Atomic uint32_t bell;
    uint8_t pad[CW_LINE - 4];
};

struct answer {
    _Atomic uint64_t ticket; /* 0 while it is being written */
    int32_t code;
    uint32_t length;
    char text[CW_REPLY_TEXT];
    uint8_t pad[32];
};

_Static_assert(sizeof(struct answer) % CW_LINE == 0, "whole lines");

size_t cw_replies_size(size_t count)
{
    return sizeof(struct answers) + count * sizeof(struct answer);
}

static struct answer *answer_of(const void *area, size_t area_size, uint64_t ticket)
{
    if (area_size < cw_replies_size(1) || ticket == 0)
        return NULL;
    size_t count = (area_size - sizeof(struct answers)) / sizeof(struct answer);
    struct answer *first = (struct answer *)((uint8_t *)area + sizeof(struct answers));
    return first + ticket % count;
}

int cw_reply_write(void *area, size_t area_size, uint64_t ticket, int32_t code, const char *text,
                   size_t length)
{
    struct answer *answer = answer_of(area, area_size, ticket);
    if (answer == NULL)
        return -EINVAL;
    if (length > CW_REPLY_TEXT)
        length = CW_REPLY_TEXT;
    atomic_store_explicit(&answer->ticket, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    answer->code = code;
    answer->length = (uint32_t)length;
    memcpy(answer->text, text, length);
    atomic_store_explicit(&answer->ticket, ticket, memory_order_release);
    struct answers *answers = area;
    atomic_fetch_add_explicit(&answers->bell, 1, memory_order_seq_cst);
    cw_futex_wake(&answers->bell);
    return 0;
}

int cw_reply_read(const void *area, size_t area_size, uint64_t ticket, struct cw_reply *reply)
{
    const struct answer *answer = answer_of(area, area_size, ticket);
    if (answer == NULL)
        return -EINVAL;
    uint64_t before = atomic_load_explicit(&answer->ticket, memory_order_acquire);
    if (before != ticket)
        return before > ticket ? -ESTALE : 0;
    reply->ticket = ticket;
    reply->code = answer->code;
    reply->length = answer->length;
    memcpy(reply->text, answer->text, CW_REPLY_TEXT);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&answer->ticket, memory_order_relaxed) != ticket)
        return -ESTALE;
    if (reply->length > CW_REPLY_TEXT)
        reply->length = CW_REPLY_TEXT;
    return 1;
}

int cw_reply_wait(void *area, size_t area_size, uint64_t ticket, struct cw_reply *reply,
                  int64_t timeout_ns)
{
    struct answers *answers = area;
    uint32_t bell = 0;
    if (area_size >= sizeof *answers)
        bell = atomic_load_explicit(&answers->bell, memory_order_seq_cst);
    int found = cw_reply_read(area, area_size, ticket, reply);
    if (found != 0 || timeout_ns <= 0)
        return found;
    cw_futex_sleep(&answers->bell, bell, timeout_ns);
    return cw_reply_read(area, area_size, ticket, reply);
}
