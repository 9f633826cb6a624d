#include "platform/private.h"
#include "platform/wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t SECOND = 1000000000;

int64_t cw_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int64_t cw_wait_until(int64_t deadline_ns, int64_t spin_ns)
{
    int64_t wake_ns = deadline_ns - (spin_ns > 0 ? spin_ns : 0);
    struct timespec until = {.tv_sec = wake_ns / SECOND, .tv_nsec = wake_ns % SECOND};
    if (wake_ns > 0)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    int64_t now_ns = cw_now();
    if (now_ns < wake_ns) /* a signal */
        return now_ns;
    while (now_ns < deadline_ns) {
        rest();
        now_ns = cw_now();
    }
    return now_ns;
}

void cw_wait_probe(int64_t first_ns, int64_t interval_ns, int64_t *late_ns, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        int64_t deadline = first_ns + (int64_t)index * interval_ns;
        late_ns[index] = cw_wait_until(deadline, 0) - deadline;
    }
}

void cw_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int cw_futex_sleep(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    if (timeout_ns < 0)
        timeout_ns = 0;
    struct timespec most = {.tv_sec = timeout_ns / SECOND, .tv_nsec = timeout_ns % SECOND};
    if (syscall(SYS_futex, word, FUTEX_WAIT, expected, &most, NULL, 0) == 0)
        return 0;
    return errno == EAGAIN ? 0 : errno;
}

static int outside(size_t area_size, size_t offset)
{
    return (offset & 3) != 0 || area_size < 4 || offset > area_size - 4;
}

int cw_word_bump(void *area, size_t area_size, size_t offset)
{
    if (outside(area_size, offset))
        return -EINVAL;
    _Atomic uint32_t *word = (_Atomic uint32_t *)((uint8_t *)area + offset);
    atomic_fetch_add_explicit(word, 1, memory_order_release);
    cw_futex_wake(word);
    return 0;
}

uint32_t cw_word_load(const void *area, size_t area_size, size_t offset)
{
    if (outside(area_size, offset))
        return 0;
    const _Atomic uint32_t *word = (const _Atomic uint32_t *)((const uint8_t *)area + offset);
    return atomic_load_explicit(word, memory_order_acquire);
}

int cw_word_wait(void *area, size_t area_size, size_t offset, uint32_t expected,
                 int64_t timeout_ns)
{
    if (outside(area_size, offset))
        return -EINVAL;
    _Atomic uint32_t *word = (_Atomic uint32_t *)((uint8_t *)area + offset);
    int error = cw_futex_sleep(word, expected, timeout_ns);
    return error == EINTR ? 0 : -error;
}
