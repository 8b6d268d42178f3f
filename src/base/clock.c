/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/prng.h"
#include "base/thread.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t read_clock(clockid_t id) {
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * HARDY_SECOND + t.tv_nsec;
}

int64_t clock_now(void) {
    return read_clock(CLOCK_BOOTTIME);
}

/*
 * The kernel has no coarse CLOCK_BOOTTIME. The coarse monotonic clock tells cheaply whether a tick
 * has passed since this thread last looked; only then the exact clock is read. So the value is
 * never older than one tick, and right again at once after the machine slept.
 */
int64_t clock_now_coarse(void) {
    static THREAD_FAST_LOCAL int64_t tick, now;
    int64_t current = read_clock(CLOCK_MONOTONIC_COARSE);
    if (current != tick || now == 0) {
        tick = current;
        now = clock_now();
    }
    return now;
}

int64_t clock_wall(void) {
    return read_clock(CLOCK_REALTIME);
}

int64_t time_scale(int64_t span, double factor) {
    if (span == HARDY_NEVER) {
        return HARDY_NEVER;
    }
    double product = (double)span * factor;
    if (product >= 0x1p63) {
        return HARDY_NEVER;
    }
    if (product <= -0x1p63) {
        return INT64_MIN;
    }
    return product == product ? (int64_t)product : 0;
}

int64_t hardy_time_add(int64_t time, int64_t span) {
    return time_add(time, span);
}

void clock_format_wall(int64_t wall, char *out) {
    int64_t seconds = wall / HARDY_SECOND;
    int64_t rest = wall % HARDY_SECOND;
    if (rest < 0) {
        rest += HARDY_SECOND;
        seconds--;
    }
    time_t at = (time_t)seconds;
    struct tm parts;
    gmtime_r(&at, &parts);
    /* An int64_t of nanoseconds ends in the year 2262: four digits are enough. */
    snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(parts.tm_year + 1900) % 10000, (unsigned)(parts.tm_mon + 1) % 100,
             (unsigned)parts.tm_mday % 100, (unsigned)parts.tm_hour % 100,
             (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100,
             (unsigned)(rest / HARDY_MILLISECOND) % 1000);
}

static int64_t system_now(void *ctx) {
    (void)ctx;
    return clock_now();
}

static int64_t system_wall(void *ctx) {
    (void)ctx;
    return clock_wall();
}

/* One stream a thread, seeded by the kernel, anew in a forked child: two processes that draw the
 * same jitter retry at the same instant. */
static uint64_t system_random(void *ctx) {
    static THREAD_FAST_LOCAL struct prng stream;
    static THREAD_FAST_LOCAL pid_t owner;
    (void)ctx;
    pid_t self = getpid();
    if (owner != self) {
        uint64_t seed;
        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
            seed = prng_mix((uint64_t)clock_wall()) ^ prng_mix((uint64_t)self) ^
                   prng_mix((uint64_t)(uintptr_t)&stream);
        }
        prng_seed(&stream, seed);
        owner = self;
    }
    return prng_next(&stream);
}

void hardy_env_system(hardy_env *env, size_t size) {
    hardy_env full = {.now = system_now, .wall = system_wall, .random = system_random};
    full.size = size < sizeof full ? size : sizeof full;
    memset(env, 0, size);
    memcpy(env, &full, full.size);
}
