/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_ENV_H
#define HARDY_ENV_H
/*
 * Time, chance and a place for log lines: what the library is given by the world. A test gives it a
 * clock of its own.
 *
 * Time is int64_t nanoseconds. `now` is monotonic and decides everything; `wall` is for what a
 * person or another machine reads. HARDY_NEVER is "no deadline". Sums saturate.
 */
#include <hardy/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HARDY_NEVER INT64_MAX
#define HARDY_NANOSECOND INT64_C(1)
#define HARDY_MICROSECOND INT64_C(1000)
#define HARDY_MILLISECOND INT64_C(1000000)
#define HARDY_SECOND INT64_C(1000000000)
#define HARDY_MINUTE (60 * HARDY_SECOND)
#define HARDY_HOUR (60 * HARDY_MINUTE)
#define HARDY_DAY (24 * HARDY_HOUR)

typedef enum hardy_log_level {
    HARDY_LOG_ERROR = 0,
    HARDY_LOG_WARNING = 1,
    HARDY_LOG_INFO = 2,
    HARDY_LOG_DEBUG = 3
} hardy_log_level;

/* Copied by whoever takes it; `ctx` is borrowed for as long as the taker lives. All functions may
 * be called from any thread at once. */
typedef struct hardy_env {
    size_t size;                   /* sizeof(hardy_env), set by hardy_env_system() */
    void *ctx;                     /* handed to each function below */
    int64_t (*now)(void *ctx);     /* monotonic nanoseconds, shared by all processes of one boot */
    int64_t (*wall)(void *ctx);    /* nanoseconds since 1970-01-01T00:00:00Z */
    uint64_t (*random)(void *ctx); /* 64 bits; need not be secret */
    void (*log)(void *ctx, hardy_log_level level,
                const char *line); /* one line, no newline; may be NULL */
} hardy_env;

/* Fills in the system's functions, `size` is sizeof(hardy_env): `now` is CLOCK_BOOTTIME, so that
 * leases and recovery times go on while a machine sleeps, `wall` CLOCK_REALTIME, `random` is seeded
 * by the kernel; no log. What differs is set afterwards. Any thread. */
HARDY_API void hardy_env_system(hardy_env *env, size_t size);

/* `time` + `span`, held inside [INT64_MIN, HARDY_NEVER]; HARDY_NEVER plus anything is HARDY_NEVER.
 * Pure; any thread. */
HARDY_API int64_t hardy_time_add(int64_t time, int64_t span);

#ifdef __cplusplus
}
#endif
#endif
