/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libhardy-durable: the calls of <hardy/durable.h>, which wait in the caller's thread. What they
 * decide is decided in action.c and checkpoint.c. One thread of an opened state renews the leases
 * of all steps that run.
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/action.h"
#include "durable/checkpoint.h"
#include "durable/folder.h"
#include "io/condition.h"
#include "io/file.h"
#include <hardy/durable.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A step's end is worth waiting for, whatever its caller's deadline: the effect is there. */
static const int64_t end_wait = 30 * HARDY_SECOND;
/* Between two looks at what somebody else runs: it may end before its lease. */
static const int64_t look_every = 200 * HARDY_MILLISECOND;

struct hardy_durable {
    struct store *store;
    char *owner;
    char boot[37];
    pid_t pid;

    pthread_mutex_t mutex;
    struct condition changed;     /* the list, or `closing` */
    struct hardy_action *renewed; /* the steps that run */
    pthread_t renewer;
    bool renewing, closing;
};

struct hardy_action {
    hardy_durable *durable;
    char *key, *idempotency_key, *result;
    int64_t fence, lease;
    uint32_t attempt;
    bool replayed;
    atomic_word lost;

    struct hardy_action *next; /* of the steps that run */
    int64_t renew_at;
};

/* --- opening ---------------------------------------------------------------------------------- */

void hardy_durable_config_init(hardy_durable_config *config, size_t size) {
    const hardy_durable_config defaults = {.size = size < sizeof defaults ? size : sizeof defaults};
    memset(config, 0, size);
    memcpy(config, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

void hardy_action_options_init(hardy_action_options *options, size_t size) {
    const hardy_action_options defaults = {.size = size < sizeof defaults ? size : sizeof defaults,
                                           .lease = ACTION_LEASE_DEFAULT,
                                           .ttl = ACTION_TTL_DEFAULT,
                                           .in_doubt = HARDY_IN_DOUBT_ASK};
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static void durable_free(hardy_durable *d) {
    if (d->store) {
        store_close(d->store);
    }
    condition_free(&d->changed);
    pthread_mutex_destroy(&d->mutex);
    free(d->owner);
    free(d);
}

hardy_status hardy_durable_open(const hardy_durable_config *config, hardy_durable **out,
                                hardy_error *error) {
    if (!config->path || !config->path[0]) {
        return fail(error, HARDY_E_INVALID, "path", "is missing: the file of the database");
    }
    hardy_durable *d = calloc(1, sizeof *d);
    if (!d) {
        return fail(error, HARDY_E_NOMEM, config->path, "no memory");
    }
    pthread_mutex_init(&d->mutex, NULL);
    condition_init(&d->changed);
    d->pid = getpid();
    file_boot_id(d->boot);
    d->owner = config->owner ? str_dup(config->owner) : str_format("pid %ld", (long)d->pid);
    const struct store_options options = {
        .path = config->path, .create = true, .purpose = "program"};
    hardy_status status = d->owner ? steps_check(config->path, error)
                                   : fail(error, HARDY_E_NOMEM, config->path, "no memory");
    if (status == HARDY_OK) {
        status = store_open(&options, &d->store, error);
    }
    if (status != HARDY_OK) {
        durable_free(d);
        return status;
    }
    *out = d;
    return HARDY_OK;
}

void hardy_durable_close(hardy_durable *d) {
    if (!d) {
        return;
    }
    if (d->pid != getpid()) {
        return; /* all of it is the parent's */
    }
    pthread_mutex_lock(&d->mutex);
    d->closing = true;
    condition_wake_all(&d->changed);
    pthread_mutex_unlock(&d->mutex);
    if (d->renewing) {
        pthread_join(d->renewer, NULL);
    }
    durable_free(d);
}

void hardy_durable_free(char *text) {
    free(text);
}

static hardy_status check_process(const hardy_durable *d, hardy_error *error) {
    return d->pid == getpid()
               ? HARDY_OK
               : fail(error, HARDY_E_INVALID, NULL,
                      "the state was opened by process %ld: a forked child opens its own",
                      (long)d->pid);
}

/* --- one request ------------------------------------------------------------------------------ */

/* `a` needs action_free() whatever comes. */
static hardy_status ask(hardy_durable *d, struct action *a, struct action_request *q,
                        int64_t deadline, hardy_error *error) {
    q->now = (struct moment){.monotonic = clock_now(), .wall = clock_wall()};
    str_copy(q->now.boot, sizeof q->now.boot, d->boot);
    hardy_status status = action_init(a, q, error);
    const struct change change = {ACTION_ROW, q->key, action_decide, a};
    status = status == HARDY_OK ? check_process(d, error) : status;
    return status == HARDY_OK ? change_apply(&change, d->store, deadline, error) : status;
}

/* A request of an action's owner. */
static hardy_status say(hardy_action *action, struct action_request *q, int64_t deadline,
                        hardy_error *error) {
    struct action a;
    if (action->replayed) {
        return fail(error, HARDY_E_INVALID, NULL, "%s was not begun here: this is a replay",
                    action->key);
    }
    q->key = action->key;
    q->fence = action->fence;
    hardy_status status = ask(action->durable, &a, q, deadline, error);
    action_free(&a);
    if (status == HARDY_E_FENCED) {
        word_store(&action->lost, 1);
    }
    return status;
}

hardy_status hardy_action_renew(hardy_action *action, int64_t deadline, hardy_error *error) {
    struct action_request q = {.verb = ACTION_RENEW, .lease = action->lease};
    return say(action, &q, deadline, error);
}

hardy_status hardy_action_complete(hardy_action *action, const char *result, int64_t deadline,
                                   hardy_error *error) {
    struct action_request q = {.verb = ACTION_COMPLETE, .result = result};
    return say(action, &q, deadline, error);
}

hardy_status hardy_action_fail(hardy_action *action, const char *detail, bool retryable,
                               int64_t deadline, hardy_error *error) {
    struct action_request q = {.verb = ACTION_FAIL, .detail = detail, .retryable = retryable};
    return say(action, &q, deadline, error);
}

hardy_status hardy_action_resolve(hardy_durable *durable, const char *key, hardy_resolution how,
                                  const char *result, int64_t deadline, hardy_error *error) {
    static const enum resolve_how meant[] = {RESOLVE_DONE, RESOLVE_RETRY, RESOLVE_FAIL};
    if ((unsigned)how >= sizeof meant / sizeof *meant) {
        return fail(error, HARDY_E_INVALID, NULL, "%d is no way to settle an action", (int)how);
    }
    struct action a;
    struct action_request q = {.verb = ACTION_SETTLE,
                               .key = key,
                               .how = meant[how],
                               .result = result,
                               .owner = durable->owner};
    hardy_status status = ask(durable, &a, &q, deadline, error);
    action_free(&a);
    return status;
}

/* --- begin ------------------------------------------------------------------------------------ */

void hardy_action_free(hardy_action *action) {
    if (action) {
        free(action->key);
        free(action->idempotency_key);
        free(action->result);
        free(action);
    }
}

static hardy_action *action_of(hardy_durable *d, const struct action *a, int64_t lease) {
    const struct record *r = &a->record;
    hardy_action *action = calloc(1, sizeof *action);
    if (!action) {
        return NULL;
    }
    action->durable = d;
    action->fence = r->ended_by ? r->ended_by : r->fence;
    action->attempt = r->attempt;
    action->lease = lease;
    action->replayed = a->replayed;
    action->key = str_dup(r->key);
    action->idempotency_key = str_dup(r->idempotency_key ? r->idempotency_key : "");
    action->result = a->replayed ? str_dup(r->output_len ? r->output : "null") : NULL;
    if (!action->key || !action->idempotency_key || (a->replayed && !action->result)) {
        hardy_action_free(action);
        return NULL;
    }
    return action;
}

hardy_status hardy_action_begin(hardy_durable *durable, const char *key, const char *params,
                                const hardy_action_options *options, int64_t deadline,
                                hardy_action **out, hardy_error *error) {
    static const enum in_doubt_policy meant[] = {IN_DOUBT_ASK, IN_DOUBT_RERUN, IN_DOUBT_FAIL};
    hardy_action_options o;
    hardy_action_options_init(&o, sizeof o);
    if (options) {
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    }
    if ((unsigned)o.in_doubt >= sizeof meant / sizeof *meant) {
        return fail(error, HARDY_E_INVALID, "in_doubt", "%d is no policy", (int)o.in_doubt);
    }
    struct action a;
    struct action_request q = {.verb = ACTION_BEGIN,
                               .scope = "action",
                               .key = key,
                               .name = o.name,
                               .params = params,
                               .owner = durable->owner,
                               .lease = o.lease,
                               .ttl = o.ttl,
                               .in_doubt = meant[o.in_doubt]};
    hardy_status status = ask(durable, &a, &q, deadline, error);
    if (status == HARDY_OK) {
        *out = action_of(durable, &a, o.lease);
        status =
            *out ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory for the action %s", key);
    }
    action_free(&a);
    return status;
}

bool hardy_action_replayed(const hardy_action *action) {
    return action->replayed;
}

int64_t hardy_action_fence(const hardy_action *action) {
    return action->fence;
}

uint32_t hardy_action_attempt(const hardy_action *action) {
    return action->attempt;
}

const char *hardy_action_idempotency_key(const hardy_action *action) {
    return action->idempotency_key;
}

const char *hardy_action_result(const hardy_action *action) {
    return action->result;
}

bool hardy_action_lost(const hardy_action *action) {
    return word_load(&action->lost) != 0;
}

hardy_status hardy_action_set_result(hardy_action *action, const char *result, hardy_error *error) {
    char *copy = str_dup(result ? result : "null");
    if (!copy) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the result of %s", action->key);
    }
    free(action->result);
    action->result = copy;
    return HARDY_OK;
}

/* --- renewing the leases of steps ------------------------------------------------------------- */

/* With the mutex held. */
static hardy_action *next_due(const hardy_durable *d) {
    hardy_action *first = d->renewed;
    for (hardy_action *a = d->renewed; a; a = a->next) {
        first = a->renew_at < first->renew_at ? a : first;
    }
    return first;
}

/* The same key and fence, or NULL: its step has ended meanwhile. With the mutex held. */
static hardy_action *still_there(const hardy_durable *d, const char *key, int64_t fence) {
    hardy_action *a = d->renewed;
    while (a && (a->fence != fence || !str_eq(a->key, key))) {
        a = a->next;
    }
    return a;
}

/* Without the mutex, for it waits for the disk; the action may be gone when it comes back. */
static void renew_one(hardy_durable *d, const hardy_action *due) {
    struct action a;
    char key[ACTION_KEY_MAX + 1];
    struct action_request q = {
        .verb = ACTION_RENEW, .key = key, .fence = due->fence, .lease = due->lease};
    str_copy(key, sizeof key, due->key);
    pthread_mutex_unlock(&d->mutex);
    hardy_status status = ask(d, &a, &q, time_add(clock_now(), q.lease), NULL);
    action_free(&a);
    pthread_mutex_lock(&d->mutex);
    hardy_action *action = still_there(d, key, q.fence);
    if (!action) {
        return;
    }
    bool lost = status == HARDY_E_FENCED || status == HARDY_E_CLOSED || status == HARDY_E_NOT_FOUND;
    if (lost) {
        word_store(&action->lost, 1);
    }
    action->renew_at = lost ? HARDY_NEVER : time_add(clock_now(), action->lease / 3);
}

static void *renewer(void *ctx) {
    hardy_durable *d = ctx;
    pthread_mutex_lock(&d->mutex);
    while (!d->closing) {
        const hardy_action *due = next_due(d);
        int64_t at = due ? due->renew_at : HARDY_NEVER;
        if (due && at <= clock_now()) {
            renew_one(d, due);
        } else {
            (void)condition_wait(&d->changed, &d->mutex, at);
        }
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

/* Signals are the program's: none is delivered to this thread. */
static bool start_renewer(hardy_durable *d) {
    sigset_t all, before;
    if (d->renewing) {
        return true;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    d->renewing = pthread_create(&d->renewer, NULL, renewer, d) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d->renewing;
}

static bool begin_renewing(hardy_action *action) {
    hardy_durable *d = action->durable;
    pthread_mutex_lock(&d->mutex);
    bool good = start_renewer(d);
    if (good) {
        action->renew_at = time_add(clock_now(), action->lease / 3);
        action->next = d->renewed;
        d->renewed = action;
        condition_wake_all(&d->changed);
    }
    pthread_mutex_unlock(&d->mutex);
    return good;
}

static void end_renewing(hardy_action *action) {
    hardy_durable *d = action->durable;
    pthread_mutex_lock(&d->mutex);
    hardy_action **link = &d->renewed;
    while (*link != action) {
        link = &(*link)->next;
    }
    *link = action->next;
    pthread_mutex_unlock(&d->mutex);
}

/* --- steps ------------------------------------------------------------------------------------ */

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Somebody else runs it: until it may have ended, or `deadline`. False: that has passed. */
static bool wait_a_while(hardy_durable *d, int64_t left, int64_t deadline) {
    int64_t now = clock_now();
    int64_t until = time_add(now, left >= 0 ? earlier(left, look_every) : look_every);
    if (now >= deadline) {
        return false;
    }
    until = earlier(until, deadline);
    pthread_mutex_lock(&d->mutex);
    while (condition_wait(&d->changed, &d->mutex, until)) {
    }
    pthread_mutex_unlock(&d->mutex);
    return true;
}

static hardy_status begin_step(hardy_durable *d, const char *key, const char *params,
                               const hardy_action_options *options, int64_t deadline,
                               hardy_action **out, hardy_error *error) {
    hardy_error why;
    hardy_status status;
    do {
        hardy_error_init(&why, sizeof why);
        status = hardy_action_begin(d, key, params, options, deadline, out, &why);
    } while (status == HARDY_E_RUNNING && wait_a_while(d, why.retry_after, deadline));
    if (status != HARDY_OK && error) {
        *error = why;
    }
    return status;
}

/* What it came to is recorded, and told. */
static hardy_status end_step(hardy_action *action, hardy_status status, hardy_error *told,
                             hardy_error *error) {
    int64_t until = time_add(clock_now(), end_wait);
    if (status == HARDY_OK) {
        return hardy_action_complete(action, action->result, until, error);
    }
    if (!told->message[0]) {
        (void)fail(told, status, NULL, "%s", hardy_status_text(status));
    }
    if (error) {
        *error = *told;
    }
    hardy_status_class class = hardy_status_class_of(status);
    if (class == HARDY_CLASS_IN_DOUBT) {
        return status;
    }
    hardy_status ended =
        hardy_action_fail(action, told->message,
                          class == HARDY_CLASS_RETRY || class == HARDY_CLASS_LIMIT, until, NULL);
    if (ended == HARDY_E_FENCED) {
        return fail(error, ended, NULL, "%s was taken over by somebody else; here it failed: %s",
                    action->key, told->message);
    }
    return status;
}

static hardy_status run_step(hardy_action *action, hardy_step_function function, void *ctx,
                             hardy_error *error) {
    hardy_error told;
    hardy_error_init(&told, sizeof told);
    if (!begin_renewing(action)) {
        struct action_request q = {
            .verb = ACTION_FAIL, .detail = "no thread to renew its lease", .retryable = true};
        (void)say(action, &q, time_add(clock_now(), end_wait), NULL);
        return fail(error, HARDY_E_NOMEM, NULL, "no thread to renew the lease of %s", action->key);
    }
    hardy_status status = function(ctx, action, &told);
    end_renewing(action);
    return end_step(action, status, &told, error);
}

hardy_status hardy_durable_step(hardy_durable *durable, const char *run, const char *name,
                                const char *params, const hardy_action_options *options,
                                hardy_step_function function, void *ctx, int64_t deadline,
                                char **result, hardy_error *error) {
    hardy_action *action = NULL;
    char *key = run ? str_format("%s/%s", run, name) : str_dup(name);
    if (!key) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the step %s", name);
    }
    hardy_status status = begin_step(durable, key, params, options, deadline, &action, error);
    free(key);
    if (status != HARDY_OK) {
        return status;
    }
    if (!action->replayed) {
        status = run_step(action, function, ctx, error);
    }
    if (status == HARDY_OK && result) {
        *result = action->result ? action->result : str_dup("null");
        action->result = NULL;
        if (!*result) {
            status = fail(error, HARDY_E_NOMEM, NULL, "no memory for the result of %s", name);
        }
    }
    hardy_action_free(action);
    return status;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

_Static_assert(HARDY_CHECKPOINT_ANY == CHECKPOINT_ANY, "the same numbers");
_Static_assert(HARDY_CHECKPOINT_NEW == CHECKPOINT_NEW, "the same numbers");

hardy_status hardy_checkpoint_get(hardy_durable *durable, const char *id, char **value,
                                  int64_t *version, hardy_error *error) {
    struct store_row row;
    hardy_status status = check_process(durable, error);
    if (status == HARDY_OK) {
        status = checkpoint_get(durable->store, id, clock_wall(), &row, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    *value = row.value;
    row.value = NULL;
    if (version) {
        *version = row.fence;
    }
    store_row_free(&row);
    return HARDY_OK;
}

static hardy_status change_checkpoint(hardy_durable *d, struct checkpoint_request *q,
                                      int64_t deadline, int64_t *version, hardy_error *error) {
    struct checkpoint c;
    q->wall = clock_wall();
    if (q->if_version < HARDY_CHECKPOINT_NEW) {
        return fail(error, HARDY_E_INVALID, "if_version", "%lld is no version",
                    (long long)q->if_version);
    }
    hardy_status status = check_process(d, error);
    status = status == HARDY_OK ? checkpoint_init(&c, q, error) : status;
    const struct change change = {CHECKPOINT_ROW, q->id, checkpoint_decide, &c};
    status = status == HARDY_OK ? change_apply(&change, d->store, deadline, error) : status;
    if (status == HARDY_OK && version) {
        *version = c.version;
    }
    return status;
}

hardy_status hardy_checkpoint_put(hardy_durable *durable, const char *id, const char *value,
                                  int64_t if_version, int64_t ttl, int64_t deadline,
                                  int64_t *version, hardy_error *error) {
    struct checkpoint_request q = {
        .verb = CHECKPOINT_PUT, .id = id, .value = value, .if_version = if_version, .ttl = ttl};
    return change_checkpoint(durable, &q, deadline, version, error);
}

hardy_status hardy_checkpoint_delete(hardy_durable *durable, const char *id, int64_t if_version,
                                     int64_t deadline, hardy_error *error) {
    struct checkpoint_request q = {.verb = CHECKPOINT_DELETE, .id = id, .if_version = if_version};
    return change_checkpoint(durable, &q, deadline, NULL, error);
}
