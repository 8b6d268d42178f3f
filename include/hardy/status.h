/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_STATUS_H
#define HARDY_STATUS_H
/*
 * Status codes, their texts and their classes, and the error record.
 *
 * A function that can fail returns a hardy_status, which must be looked at. 0 is success, errors
 * are negative. The *class* is what a caller acts on: whether to try again, to correct the call,
 * to wait for a limit, or to find out what happened before doing anything.
 */
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define HARDY_API __attribute__((visibility("default")))
#define HARDY_MUST_USE __attribute__((warn_unused_result))
#define HARDY_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define HARDY_API
#define HARDY_MUST_USE
#define HARDY_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a caller may do about a status. */
typedef enum hardy_status_class {
    HARDY_CLASS_OK = 0,
    HARDY_CLASS_RETRY = 1,     /* passing trouble: the same call may succeed later */
    HARDY_CLASS_PERMANENT = 2, /* the same call will fail again */
    HARDY_CLASS_BUG = 3,       /* the call itself is wrong: correct the caller */
    HARDY_CLASS_LIMIT = 4,     /* hardy refused it: breaker, rate, slots, budget or deadline */
    HARDY_CLASS_IN_DOUBT = 5   /* it started and nobody knows how it ended: find out first */
} hardy_status_class;

/* One row a status: name, value, class, text. The only list of them. */
#define HARDY_STATUS_MAP(X)                                                                        \
    X(OK, 0, OK, "ok")                                                                             \
    X(E_NOMEM, -1, RETRY, "out of memory")                                                         \
    X(E_INVALID, -2, BUG, "invalid argument")                                                      \
    X(E_SYNTAX, -3, PERMANENT, "cannot be parsed")                                                 \
    X(E_NOT_FOUND, -4, PERMANENT, "not found")                                                     \
    X(E_EXISTS, -5, PERMANENT, "exists already")                                                   \
    X(E_MISMATCH, -6, PERMANENT, "differs from what was recorded under this name")                 \
    X(E_TOO_LARGE, -7, PERMANENT, "larger than its limit")                                         \
    X(E_UNSUPPORTED, -8, PERMANENT, "not supported here")                                          \
    X(E_FAILED, -10, PERMANENT, "failed, and trying again would not help")                         \
    X(E_EXHAUSTED, -11, RETRY, "passing failure, and the retries are used up")                     \
    X(E_OPEN, -12, LIMIT, "circuit breaker is open")                                               \
    X(E_LIMITED, -13, LIMIT, "rate limit reached")                                                 \
    X(E_FULL, -14, LIMIT, "all concurrency slots are taken")                                       \
    X(E_BUDGET, -15, LIMIT, "retry budget is used up")                                             \
    X(E_DEADLINE, -16, LIMIT, "deadline passed")                                                   \
    X(E_CANCELLED, -17, LIMIT, "cancelled")                                                        \
    X(E_TIMEOUT, -18, RETRY, "an attempt took longer than its timeout")                            \
    X(E_REFUSED, -19, LIMIT, "not approved")                                                       \
    X(E_IN_DOUBT, -20, IN_DOUBT, "started, and nobody knows how it ended")                         \
    X(E_RUNNING, -21, RETRY, "the same key is running elsewhere")                                  \
    X(E_FENCED, -22, PERMANENT, "another owner has taken over")                                    \
    X(E_CLOSED, -23, PERMANENT, "closed")                                                          \
    X(E_DEGRADED, -24, RETRY, "degraded beyond what is allowed")                                   \
    X(E_IO, -30, PERMANENT, "input or output error")                                               \
    X(E_NOSPACE, -31, RETRY, "no space left")                                                      \
    X(E_READONLY, -32, PERMANENT, "not writable")                                                  \
    X(E_CORRUPT, -33, PERMANENT, "not what hardy wrote, or damaged")                               \
    X(E_NEWER, -34, PERMANENT, "written by a newer version of hardy")                              \
    X(E_CONNECT, -40, RETRY, "cannot connect")                                                     \
    X(E_PROTOCOL, -41, PERMANENT, "the far side broke the protocol")

/* 0, or an error; the class says what to do about it. */
typedef enum hardy_status {
#define X(name, value, class_, text) HARDY_##name = value,
    HARDY_STATUS_MAP(X)
#undef X
} hardy_status;

/* Detail on a failure, filled by functions that take a `hardy_error *`. Caller-owned; the pointer
 * may be NULL everywhere, then the detail is dropped. On success it is left untouched. Texts are
 * cut at their array, never unterminated. */
typedef struct hardy_error {
    size_t size;         /* sizeof(hardy_error), set by hardy_error_init() */
    hardy_status status; /* the same value as the function returned */
    int64_t retry_after; /* nanoseconds until it may be tried again; -1 = not known */
    char where[160];     /* the place: "hardy.yaml:3:11", a path, a host and port; may be "" */
    char message[400];   /* the thing, the value, and what would be right; one line, no full stop */
} hardy_error;

/* Empties the record: status OK, retry_after -1, no texts; `size` is sizeof(hardy_error). Before
 * its first use, not before each. Any thread; `error` not NULL. */
HARDY_API void hardy_error_init(hardy_error *error, size_t size);

/* A lower-case text without a full stop; "unknown status" for a value not in the table. Static
 * storage, never NULL, any thread. */
HARDY_API const char *hardy_status_text(hardy_status status);

/* The constant's name without HARDY_, such as "E_OPEN". Static storage, never NULL, any thread. */
HARDY_API const char *hardy_status_name(hardy_status status);

/* The class; HARDY_CLASS_BUG for a value not in the table. Any thread. */
HARDY_API hardy_status_class hardy_status_class_of(hardy_status status);

#ifdef __cplusplus
}
#endif
#endif
