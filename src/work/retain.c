/* SPDX-License-Identifier: Apache-2.0 */
#include "work/retain.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "io/condition.h"
#include "io/loop_uv.h"
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define EVERY HARDY_HOUR
#define CLAIM_WITHIN (5 * HARDY_SECOND)
/* A command is not slowed noticeably: it has taken some seconds, and pays a twentieth of that. */
#define LONG_ENOUGH (5 * HARDY_SECOND)
#define PART 20
#define AT_END_MAX (2 * HARDY_SECOND)
#define SERVING_SPAN HARDY_MINUTE
#define SERVING_FIRST (10 * HARDY_SECOND) /* not while everything begins */
#define SERVING_LOOK (5 * HARDY_MINUTE)
#define PRUNE_SPAN HARDY_HOUR
#define SHRINK_SPAN (10 * HARDY_SECOND)

static const struct schema_key keys[] = {
    {.name = "age",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct retain_settings, age),
     .def = "30d",
     .min = "1m",
     .never = true,
     .help = "a finished run is removed so long after its end"},
    {.name = "count",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct retain_settings, count),
     .def = "10000",
     .min = "1",
     .help = "finished runs that are kept, the latest ones"},
    {.name = "bytes",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct retain_settings, bytes),
     .def = "1GiB",
     .min = "1MiB",
     .help = "what the finished runs that are kept may take up together"},
};
const struct schema_section retain_section = {"retention", keys, sizeof keys / sizeof *keys,
                                              sizeof(struct retain_settings)};

hardy_status retain_settings_read(const struct config *config, struct retain_settings *out,
                                  hardy_error *error) {
    const struct yaml_node *node = config ? config_section(config, "retention") : NULL;
    bool off = node && node->kind == YAML_SCALAR && str_eq(node->text, "off");
    hardy_status status = schema_read(&retain_section, off ? NULL : node, out, error);
    out->off = off;
    return status;
}

struct retention_policy retain_policy(const struct retain_settings *s) {
    return s->off ? (struct retention_policy){HARDY_NEVER, UINT64_MAX, UINT64_MAX}
                  : (struct retention_policy){s->age, s->count, s->bytes};
}

/* Rows first: what they leave behind are files that belong to nothing. */
static hardy_status sweep(const struct retain_world *w, const struct retention_sweep *how,
                          struct retain_report *out, hardy_error *error) {
    *out = (struct retain_report){0};
    hardy_status status = retention_apply(w->store, how, &out->rows, error);
    if (status == HARDY_OK && !how->dry_run && !out->rows.unfinished) {
        status = leftovers_sweep(w, how->wall, &out->files, error);
        if (status == HARDY_OK) {
            status = leftovers_blobs(w, how->wall, out, error);
        }
    }
    return status;
}

static hardy_status sweep_when_due(const struct retain_world *w, const struct retain_settings *s,
                                   int64_t span, bool *swept, struct retain_report *out,
                                   hardy_error *error) {
    int64_t wall = clock_wall(), now = clock_now();
    hardy_status status =
        retention_claim(w->store, wall, EVERY, time_add(now, CLAIM_WITHIN), swept, error);
    if (status != HARDY_OK || !*swept) {
        return status;
    }
    const struct retention_sweep how = {
        .policy = retain_policy(s), .wall = wall, .deadline = time_add(now, span)};
    status = sweep(w, &how, out, error);
    return status == HARDY_OK && out->rows.unfinished
               ? retention_release(w->store, time_add(clock_now(), CLAIM_WITHIN), error)
               : status;
}

hardy_status retain_at_end(const struct retain_world *w, const struct retain_settings *s,
                           int64_t begun, bool *swept, struct retain_report *out,
                           hardy_error *error) {
    int64_t took = clock_now() - begun, span = took / PART;
    *swept = false;
    if (took < LONG_ENOUGH) {
        return HARDY_OK;
    }
    return sweep_when_due(w, s, span < AT_END_MAX ? span : AT_END_MAX, swept, out, error);
}

/* --- by a person --------------------------------------------------------------------------------
 */

static int64_t free_pages(struct store *store, int64_t *pages) {
    struct buf text;
    hardy_error ignored;
    hardy_error_init(&ignored, sizeof ignored);
    buf_init(&text, (size_t)4 << 20);
    json_t *told = store_describe(store, false, &text, &ignored) == HARDY_OK
                       ? json_loadb(text.data, text.len, 0, NULL)
                       : NULL;
    bool gives = json_is_true(json_object_get(told, "gives_back"));
    int64_t left = gives ? json_integer_value(json_object_get(told, "free_pages")) : 0;
    *pages = json_integer_value(json_object_get(told, "pages"));
    json_decref(told);
    buf_free(&text);
    return left;
}

/* The store gives space back by itself, a portion at a time: a command waits for it. */
static void wait_for_space(struct store *store) {
    int64_t until = time_add(clock_now(), SHRINK_SPAN), pages, before = INT64_MAX;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct condition never;
    condition_init(&never);
    for (;;) {
        int64_t left = free_pages(store, &pages), now = clock_now();
        if (left <= pages / 16 || left >= before || now > until) {
            break;
        }
        before = left;
        pthread_mutex_lock(&mutex);
        while (condition_wait(&never, &mutex, time_add(now, 300 * HARDY_MILLISECOND))) {
        }
        pthread_mutex_unlock(&mutex);
    }
    condition_free(&never);
}

hardy_status retain_prune(const struct retain_world *w, const struct retain_settings *s,
                          const struct retain_prune *how, struct retain_report *out,
                          hardy_error *error) {
    struct retention_sweep all = {.policy = retain_policy(s),
                                  .wall = clock_wall(),
                                  .deadline = time_add(clock_now(), PRUNE_SPAN),
                                  .dry_run = how->dry_run,
                                  .told = how->told,
                                  .ctx = how->ctx};
    bool by_hand = how->older_than != HARDY_NEVER || how->keep >= 0;
    if (by_hand) { /* what is asked for, and nothing else */
        all.policy = (struct retention_policy){how->older_than, UINT64_MAX, UINT64_MAX};
        all.policy.count = how->keep >= 0 ? (uint64_t)how->keep : UINT64_MAX;
    }
    hardy_status status = sweep(w, &all, out, error);
    if (status == HARDY_OK && !how->dry_run && out->rows.rows > 0) {
        wait_for_space(w->store);
    }
    return status;
}

/* --- in a process that serves -------------------------------------------------------------------
 */

struct retainer {
    struct store *store;
    char *state;
    struct retain_settings settings;
    struct loop *loop;
    pthread_t thread;
    pthread_mutex_t mutex;
    struct condition changed;
    bool ending;
};

static bool wait_until(struct retainer *r, int64_t until) {
    bool in_time = true;
    pthread_mutex_lock(&r->mutex);
    while (!r->ending && in_time) {
        in_time = condition_wait(&r->changed, &r->mutex, until);
    }
    bool ending = r->ending;
    pthread_mutex_unlock(&r->mutex);
    return !ending;
}

static void tell(hardy_status status, const struct retain_report *report,
                 const hardy_error *error) {
    char runs[24], rows[24], files[24];
    if (status != HARDY_OK) {
        log_event(HARDY_LOG_WARNING, "retention failed", "error", error->message, NULL);
    } else if (report->rows.rows + report->files + report->blobs > 0) {
        snprintf(runs, sizeof runs, "%llu", (unsigned long long)report->rows.runs);
        snprintf(rows, sizeof rows, "%llu", (unsigned long long)report->rows.rows);
        snprintf(files, sizeof files, "%llu", (unsigned long long)(report->files + report->blobs));
        log_event(HARDY_LOG_INFO, "retention", "runs", runs, "rows", rows, "files", files, NULL);
    }
}

static void *retainer_thread(void *arg) {
    struct retainer *r = arg;
    const struct retain_world world = {r->loop, r->store, r->state};
    hardy_error error;
    int64_t pause = SERVING_FIRST;
    while (wait_until(r, time_add(clock_now(), pause))) {
        struct retain_report report = {0};
        bool swept;
        hardy_error_init(&error, sizeof error);
        hardy_status status =
            sweep_when_due(&world, &r->settings, SERVING_SPAN, &swept, &report, &error);
        tell(status, &report, &error);
        pause = SERVING_LOOK;
    }
    return NULL;
}

static void retainer_free(struct retainer *r) {
    if (r->loop) {
        loop_free(r->loop);
    }
    condition_free(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    free(r->state);
    free(r);
}

struct retainer *retain_start(struct store *store, const char *state,
                              const struct retain_settings *s, hardy_error *error) {
    struct retainer *r = calloc(1, sizeof *r);
    if (!r) {
        fail(error, HARDY_E_NOMEM, state, "no memory for retention");
        return NULL;
    }
    r->store = store;
    r->state = str_dup(state);
    r->settings = *s;
    pthread_mutex_init(&r->mutex, NULL);
    condition_init(&r->changed);
    r->loop = r->state ? loop_uv_new(error) : NULL;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = r->loop ? pthread_create(&r->thread, NULL, retainer_thread, r) : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!r->loop || failed) {
        if (failed) {
            fail_errno(error, failed, state, "cannot start the thread of retention");
        }
        retainer_free(r);
        return NULL;
    }
    return r;
}

void retain_stop(struct retainer *r) {
    if (!r) {
        return;
    }
    pthread_mutex_lock(&r->mutex);
    r->ending = true;
    pthread_mutex_unlock(&r->mutex);
    condition_wake_all(&r->changed);
    pthread_join(r->thread, NULL);
    retainer_free(r);
}
