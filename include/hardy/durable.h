/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_DURABLE_H
#define HARDY_DURABLE_H
/*
 * Durable actions and checkpoints: what a program does once though it is killed anywhere, and what
 * it goes on from. In a library of its own: cc ... $(pkg-config --cflags --libs hardy-durable).
 *
 * An *action* is done once under a key. Its begin is on stable storage before it is done, its
 * result after it: a success is replayed to whoever asks again. Whoever does it holds a *lease* and
 * renews it; when the lease runs out without an end, nobody knows whether the action took effect.
 * It is then *in doubt*, and the policy that was declared decides: a person or the program finds
 * out and settles it (hardy_action_resolve(), or `hardy actions resolve`), or it is declared safe
 * to repeat. hardy never repeats an effect by itself that was not declared so.
 *
 * A *checkpoint* is one JSON value under an id, with a version that writers name.
 *
 * Both lie in the state of `hardy`, an SQLite database: the same file may be used at the same time
 * by other processes, by `hardy serve`, and by `hardy actions list --state FILE`. A call that
 * writes returns when it is on stable storage, which takes as long as the disk's sync.
 *
 * Every function may be called from any thread at any time, until hardy_durable_close(). Calls
 * block. A `deadline` is absolute, on the clock of hardy_env_system() (`now`); HARDY_NEVER waits as
 * long as it takes. E_DEADLINE of a call that writes: it may still be written later. A forked child
 * must not use what its parent has opened: E_INVALID.
 *
 * Texts are UTF-8 and NUL-terminated, and copied. JSON is any valid JSON value.
 */
#include <hardy/env.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hardy_durable hardy_durable; /* opaque */

typedef struct hardy_durable_config {
    size_t size; /* sizeof(hardy_durable_config) */
    const char
        *path; /* the database; required; its directory must exist, the file is made (0600) */
    const char *owner; /* who begins actions, for people; "pid PID" */
} hardy_durable_config;
HARDY_API void hardy_durable_config_init(hardy_durable_config *config, size_t size);

/* E_INVALID: no path; E_NOT_FOUND: no such directory; E_CORRUPT, E_NEWER: not a database of
 * hardy's, damaged, emptied, or of a newer hardy, and left untouched; E_READONLY, E_NOSPACE, E_IO;
 * E_UNSUPPORTED: a network file system; E_DEADLINE: another process kept it locked for ten seconds,
 * and is named; E_NOMEM. `error` names the path. Everything is copied. */
HARDY_API HARDY_MUST_USE hardy_status hardy_durable_open(const hardy_durable_config *config,
                                                         hardy_durable **out, hardy_error *error);
/* No other call may be running, and every action must have been freed; NULL is fine. */
HARDY_API void hardy_durable_close(hardy_durable *durable);
/* For the texts that functions below hand over; NULL is fine. */
HARDY_API void hardy_durable_free(char *text);

/* --- actions ---------------------------------------------------------------------------------- */

/* What happens when an action is begun whose owner's lease has run out without an end. */
typedef enum hardy_in_doubt {
    HARDY_IN_DOUBT_ASK = 0,   /* E_IN_DOUBT, until it is settled */
    HARDY_IN_DOUBT_RERUN = 1, /* it is begun again: declared safe to repeat */
    HARDY_IN_DOUBT_FAIL = 2   /* E_FAILED, recorded as failed; the next begin begins it again */
} hardy_in_doubt;

typedef struct hardy_action_options {
    size_t size;      /* sizeof(hardy_action_options) */
    const char *name; /* for people, and part of what identifies it; the key; 1 to 200 bytes */
    int64_t lease;    /* ns; 30s; 100ms to 24h */
    int64_t ttl;      /* ns it is kept once it has ended; 24h; above 0, HARDY_NEVER */
    hardy_in_doubt in_doubt; /* HARDY_IN_DOUBT_ASK */
} hardy_action_options;
HARDY_API void hardy_action_options_init(hardy_action_options *options, size_t size);

typedef struct hardy_action hardy_action; /* opaque: one that was begun here, or a replay */

/* Begins the action under `key` (1 to 200 bytes, no control characters). `params` (NULL = null, up
 * to 1 MiB) says what is done: the same key with other parameters is E_MISMATCH. `options` NULL =
 * the defaults. `*out` needs hardy_action_free().
 *
 * OK: it is begun, and the caller's to do, unless hardy_action_replayed(): it was done before, and
 * hardy_action_result() is what it gave. E_RUNNING: somebody's lease on it runs; error->retry_after
 * says for how long. E_IN_DOUBT, E_FAILED: see hardy_in_doubt. E_INVALID, E_SYNTAX, E_TOO_LARGE:
 * what is wrong with the arguments. E_FULL, E_TIMEOUT, E_NOSPACE, E_NOMEM: not begun, may be tried
 * again; E_IO, E_CORRUPT: the state has failed, and has to be opened again. */
HARDY_API HARDY_MUST_USE hardy_status hardy_action_begin(hardy_durable *durable, const char *key,
                                                         const char *params,
                                                         const hardy_action_options *options,
                                                         int64_t deadline, hardy_action **out,
                                                         hardy_error *error);

/* Not of a replay: E_INVALID. E_FENCED: somebody else has taken it over or settled it, since the
 * lease had run out; whatever is done now is done twice. E_CLOSED: it has ended already. As long as
 * nobody has taken it over, a lease that has run out may still be renewed, and the action ended. */
HARDY_API HARDY_MUST_USE hardy_status hardy_action_renew(hardy_action *action, int64_t deadline,
                                                         hardy_error *error);
/* It is done; `result` (NULL = null, up to 4 MiB) is what a replay gives. The same end twice is
 * fine. */
HARDY_API HARDY_MUST_USE hardy_status hardy_action_complete(hardy_action *action,
                                                            const char *result, int64_t deadline,
                                                            hardy_error *error);
/* It has failed, and has had no effect: it may be begun again. `detail` (NULL = none; one line, cut
 * at 480 bytes) and `retryable` (whether the trouble was passing) are recorded for people. */
HARDY_API HARDY_MUST_USE hardy_status hardy_action_fail(hardy_action *action, const char *detail,
                                                        bool retryable, int64_t deadline,
                                                        hardy_error *error);
/* Forgets it, whatever its state: one that was not ended is in doubt once its lease has run out.
 * NULL is fine. */
HARDY_API void hardy_action_free(hardy_action *action);

/* Whether it was done before, so that there is nothing to do. */
HARDY_API bool hardy_action_replayed(const hardy_action *action);
HARDY_API int64_t hardy_action_fence(const hardy_action *action);    /* grows with each begin */
HARDY_API uint32_t hardy_action_attempt(const hardy_action *action); /* from 1 */
/* For the far side: 32 characters, the same in every attempt at this key. As long as the action
 * lives. */
HARDY_API const char *hardy_action_idempotency_key(const hardy_action *action);
/* The JSON of a replay, or what hardy_action_set_result() has set; else NULL. As long as the action
 * lives, or until it is set again. */
HARDY_API const char *hardy_action_result(const hardy_action *action);
/* Whether a renewal was told that somebody else has taken it over: stop. */
HARDY_API bool hardy_action_lost(const hardy_action *action);

/* What became of something in doubt. */
typedef enum hardy_resolution {
    HARDY_RESOLVE_DONE = 0,  /* it has happened; `result` stands for what it gave */
    HARDY_RESOLVE_RETRY = 1, /* it has not: the next begin begins it again */
    HARDY_RESOLVE_FAIL = 2   /* it has not: it counts as failed */
} hardy_resolution;
/* Settles what is in doubt; `result` (NULL = null) is for HARDY_RESOLVE_DONE. E_NOT_FOUND;
 * E_CLOSED: it is not in doubt; E_RUNNING: its lease runs. Only actions of owners like this one;
 * what runs under `hardy exec --key` is settled with `hardy actions resolve`: E_UNSUPPORTED. */
HARDY_API HARDY_MUST_USE hardy_status hardy_action_resolve(hardy_durable *durable, const char *key,
                                                           hardy_resolution how, const char *result,
                                                           int64_t deadline, hardy_error *error);

/* --- steps: a function under its key ---------------------------------------------------------- */

/* Does it. OK: it is done, with the result that hardy_action_set_result() has set (null without).
 * E_IN_DOUBT: it does not know whether it took effect; nothing is recorded. Anything else: it has
 * failed without an effect, `error->message` says why. */
typedef hardy_status (*hardy_step_function)(void *ctx, hardy_action *action, hardy_error *error);
/* For a function of hardy_durable_step(): what it gives, JSON up to 4 MiB, copied, and looked at
 * when the function has returned; the last call counts. E_NOMEM: it is as it was. */
HARDY_API HARDY_MUST_USE hardy_status hardy_action_set_result(hardy_action *action,
                                                              const char *result,
                                                              hardy_error *error);

/* Runs `function` once under the key "RUN/NAME" (`run` NULL: "NAME"), in this thread, while another
 * thread renews its lease; or replays its result. While somebody else runs it, this waits until
 * `deadline`, then E_RUNNING. `*result` (may be NULL) is its JSON, for hardy_durable_free(). What
 * it returned is recorded whatever the deadline. Otherwise as hardy_action_begin(), or what the
 * function returned; E_FENCED: it has returned, but somebody else had taken it over. */
HARDY_API HARDY_MUST_USE hardy_status hardy_durable_step(hardy_durable *durable, const char *run,
                                                         const char *name, const char *params,
                                                         const hardy_action_options *options,
                                                         hardy_step_function function, void *ctx,
                                                         int64_t deadline, char **result,
                                                         hardy_error *error);

/* --- checkpoints ------------------------------------------------------------------------------ */

#define HARDY_CHECKPOINT_ANY INT64_C(-1) /* as `if_version`: whatever is there */
#define HARDY_CHECKPOINT_NEW INT64_C(-2) /* only when nothing is there */

/* `id`: 1 to 200 letters, digits and "._:@/-", the first a letter or digit. `*value` is for
 * hardy_durable_free(), `*version` (may be NULL) for the next put. E_NOT_FOUND: none, or it has
 * expired; E_INVALID. */
HARDY_API HARDY_MUST_USE hardy_status hardy_checkpoint_get(hardy_durable *durable, const char *id,
                                                           char **value, int64_t *version,
                                                           hardy_error *error);
/* `value`: JSON, up to 8 MiB. `ttl`: ns it is kept from now on, above 0, or HARDY_NEVER.
 * `*version` (may be NULL): the new one. E_FENCED: another version is there than the one named;
 * E_EXISTS: HARDY_CHECKPOINT_NEW, and one is there; E_INVALID, E_SYNTAX, E_TOO_LARGE; the state's
 * failures as with hardy_action_begin(). */
HARDY_API HARDY_MUST_USE hardy_status hardy_checkpoint_put(hardy_durable *durable, const char *id,
                                                           const char *value, int64_t if_version,
                                                           int64_t ttl, int64_t deadline,
                                                           int64_t *version, hardy_error *error);
/* E_NOT_FOUND: nothing is there; else as a put. */
HARDY_API HARDY_MUST_USE hardy_status hardy_checkpoint_delete(hardy_durable *durable,
                                                              const char *id, int64_t if_version,
                                                              int64_t deadline, hardy_error *error);

#ifdef __cplusplus
}
#endif
#endif
