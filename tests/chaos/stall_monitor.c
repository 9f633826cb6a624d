/* Watches the machine: a loop of the highest real-time class on each core, asleep for 1 ms at a time.
 *
 * Whatever keeps it from its core for longer than 10 ms keeps everybody else from it, too: the
 * machine itself stood still. Prints "core begin_ns end_ns" (CLOCK_MONOTONIC) of each such gap, and
 * first "rt 1" or "rt 0": whether it got its class. Ends with its parent. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static const int64_t step_ns = 1000000, gap_ns = 10000000;

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void *watch(void *argument)
{
    long core = (long)argument;
    int64_t last = now();
    for (;;) {
        int64_t next = last + step_ns;
        struct timespec until = {next / 1000000000, next % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        int64_t here = now();
        if (here - last > gap_ns) {
            printf("%ld %lld %lld\n", core, (long long)last, (long long)here);
            fflush(stdout);
        }
        last = here;
    }
    return NULL;
}

int main(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int urgent = 1;
    for (long core = 0; core < cores; core++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, watch, (void *)core) != 0)
            return 1;
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(core, &set);
        struct sched_param param = {.sched_priority = 99};
        pthread_setaffinity_np(thread, sizeof set, &set);
        if (pthread_setschedparam(thread, SCHED_FIFO, &param) != 0)
            urgent = 0;
    }
    printf("rt %d\n", urgent);
    fflush(stdout);
    pause();
    return 0;
}
