/* SPDX-License-Identifier: Apache-2.0 */
#include "town.h"
#include "base/str.h"
#include "http/client.h"
#include "store/internal.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct town *here; /* there is one at a time */

/* --- the store: passes on, refuses when it is told to, and looks at what is written ------------
 */

struct spy {
    struct store base;
    struct town *town;
};

static void look_at(struct town *t, const struct batch *batch) {
    bool page = false, state = false;
    for (size_t n = 0; n < batch->count; n++) {
        page |= strcmp(batch->ops[n].row_kind, "outbox") == 0 && batch->ops[n].kind == STORE_PUT;
        state |= strcmp(batch->ops[n].row_kind, "incident") == 0;
    }
    t->batches_with_page_and_state += page && state;
    t->pages_alone += page && !state;
}

static hardy_status spy_submit(struct store *s, struct batch *batch, hardy_error *error) {
    struct town *t = ((struct spy *)s)->town;
    if (t->refuse > 0 || t->refuse_always) {
        t->refuse -= t->refuse > 0;
        batch->status = t->refusal;
        batch->failed = -1;
        batch_finish(s, batch, NULL);
        return HARDY_OK;
    }
    look_at(t, batch);
    return t->inner->methods->submit(t->inner, batch, error);
}

static hardy_status spy_get(struct store *s, const char *kind, const char *key,
                            struct store_row *out, hardy_error *error) {
    struct town *t = ((struct spy *)s)->town;
    return t->inner->methods->get(t->inner, kind, key, out, error);
}

static hardy_status spy_scan(struct store *s, const char *kind, const char *prefix,
                             const char *after, size_t limit, bool values, struct rows *out,
                             hardy_error *error) {
    struct town *t = ((struct spy *)s)->town;
    return t->inner->methods->scan(t->inner, kind, prefix, after, limit, values, out, error);
}

static int64_t sim_wall(void *ctx) {
    return loop_wall(((struct town *)ctx)->loop);
}

/* --- programs ----------------------------------------------------------------------------------
 */

static void ask(struct sim_process *p, void *ctx) {
    const struct town *t = ctx;
    const char *text = t->up ? "fine\n" : "no answer\n";
    sim_output(p, 1, text, strlen(text));
    sim_exit_after(p, t->check_takes, t->up ? 0 : 1, 0);
}

static void look(struct sim_process *p, void *ctx) {
    const struct town *t = ctx;
    const char *text = t->up ? "{\"running\": true}" : "{\"running\": false}";
    sim_output(p, 1, text, strlen(text));
    sim_exit_after(p, t->look_takes, 0, 0);
}

struct effect {
    struct town *town;
    struct loop_timer timer;
};

static void on_effect(struct loop_timer *timer) {
    struct effect *e = timer->ctx;
    e->town->up = true;
    free(e);
}

static void remedy(struct sim_process *p, struct town *t, const struct remedy_plan *plan) {
    static const char text[] = "nothing to be done\nat all\n";
    if (plan->code)
        sim_output(p, 1, text, sizeof text - 1);
    if (plan->heals && !plan->settles)
        t->up = true;
    if (plan->settles) {
        struct effect *e = calloc(1, sizeof *e);
        e->town = t;
        loop_timer_init(&e->timer, on_effect, e);
        loop_timer_start(t->loop, &e->timer, loop_now(t->loop) + plan->takes);
    }
    sim_exit_after(p, plan->takes, plan->code, 0);
}

/* The shell that joins both outputs, and becomes the command behind it. */
static void shell(struct sim_process *p, void *ctx) {
    struct town *t = ctx;
    const char *name = sim_argv(p)[4];
    assert_string_equal(sim_env(p, "HARDY_SERVICE"), "web");
    assert_non_null(sim_env(p, "HARDY_INCIDENT"));
    assert_non_null(sim_env(p, "HARDY_IDEMPOTENCY_KEY"));
    if (strcmp(name, "restart") == 0) {
        t->restarts++;
        remedy(p, t, &t->restart);
    } else {
        assert_string_equal(name, "reset");
        t->resets++;
        remedy(p, t, &t->reset);
    }
}

static void probe(struct sim_process *p, void *ctx) {
    struct town *t = ctx;
    t->probes++;
    sim_exit_after(p, HARDY_MILLISECOND, t->probe_code, 0);
}

/* --- the town ----------------------------------------------------------------------------------
 */

static const char frame[] =
    "automation: act\n"
    "checks: [{name: up, command: [ask], interval: 1s, timeout: 500ms, grace: 0s, "
    "failure_threshold: 2, success_threshold: 1}]\n"
    "notify:\n"
    "  pager: {type: webhook, url: \"http://127.0.0.1:8080/page\", timeout: 2s}\n"
    "incidents:\n"
    "  services:\n"
    "    web:\n"
    "      check: up\n"
    "      severity: critical\n"
    "      sources: {look: {command: [look]}}\n"
    "      verify: {passes: 2, window: 10s}\n"
    "      escalate: [pager]\n"
    "%s";

static hardy_status act_inside(void *ctx, const struct action_settings *action, const char *key,
                               char told[200], hardy_error *error) {
    struct town *t = ctx;
    (void)error;
    t->inside_count++;
    str_copy(t->inside_key, sizeof t->inside_key, key);
    str_copy(t->inside_action, sizeof t->inside_action, action->name);
    snprintf(told, 200, "did %s", action->name);
    t->up |= t->inside_heals;
    return HARDY_OK;
}

void town_begin(struct town *t, const char *more, const struct sim_options *options) {
    char yaml[4000];
    snprintf(yaml, sizeof yaml, frame, more);
    town_begin_as(t, yaml, options);
}

void town_begin_as(struct town *t, const char *yaml, const struct sim_options *options) {
    static const struct store_methods methods = {
        .submit = spy_submit, .get = spy_get, .scan = spy_scan};
    struct sim_options calm;
    struct store_options memory = {.path = NULL, .wall = sim_wall, .wall_ctx = t};
    hardy_error error;
    memset(t, 0, sizeof *t);
    here = t;
    sim_options_init(&calm);
    calm.end = HARDY_NEVER;
    t->loop = loop_sim_new(options ? options : &calm, &error);
    assert_int_equal(store_open(&memory, &t->inner, &error), HARDY_OK);
    struct spy *spy = calloc(1, sizeof *spy);
    spy->base = (struct store){.methods = &methods, .wall = sim_wall, .wall_ctx = t};
    spy->town = t;
    t->store = &spy->base;
    settings_read(&t->settings, yaml);
    str_copy(t->state, sizeof t->state, "/tmp/hardy-town.XXXXXX");
    assert_non_null(mkdtemp(t->state));
    snprintf(t->state + strlen(t->state), 3, "/s");
    t->up = true;
    t->check_takes = 10 * HARDY_MILLISECOND;
    t->look_takes = 5 * HARDY_MILLISECOND;
    t->restart = (struct remedy_plan){.takes = 3 * HARDY_SECOND, .settles = true};
    t->reset = (struct remedy_plan){.takes = HARDY_SECOND, .settles = true};
    t->refusal = HARDY_E_NOSPACE;
    t->inside = (struct remedy_inside){t, act_inside};
    sim_program_add(t->loop, "ask", ask, t);
    sim_program_add(t->loop, "look", look, t);
    sim_program_add(t->loop, "/bin/sh", shell, t);
    sim_program_add(t->loop, "probe", probe, t);
    pager_open(&t->pager, t->loop);
}

/* Descriptors of locks that a killed program held: the kernel would have closed them. */
static void close_locks(const struct town *t) {
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *entry;
    while (fds && (entry = readdir(fds))) {
        char path[300], target[400];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strncmp(target, t->state, strlen(t->state)) == 0)
            close((int)strtol(entry->d_name, NULL, 10));
    }
    if (fds)
        closedir(fds);
}

static void on_time(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

void town_pass(struct town *t, int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, t->loop);
    sim_outside(t->loop, true);
    loop_timer_start(t->loop, &timer, loop_now(t->loop) + span);
    sim_outside(t->loop, false);
    loop_run(t->loop);
}

void town_end(struct town *t) {
    for (size_t n = 0; n < t->life_count; n++)
        if (!t->lives[n].over && t->lives[n].watch)
            town_stop(t, &t->lives[n]);
    pager_close(&t->pager);
    town_pass(t, HARDY_HOUR);
    for (size_t n = 0; n < t->life_count; n++)
        buf_free(&t->lives[n].told);
    pager_free(&t->pager);
    close_locks(t);
    char path[128];
    snprintf(path, sizeof path, "%s-steps/keys.lock", t->state);
    unlink(path);
    snprintf(path, sizeof path, "%s-steps", t->state);
    rmdir(path);
    t->state[strlen(t->state) - 2] = '\0';
    rmdir(t->state);
    store_close(t->inner);
    t->inner = NULL;
    (void)town_incident(t);
    free(t->store);
    settings_free(&t->settings);
    loop_free(t->loop);
    t->loop = NULL;
}

/* --- lives -------------------------------------------------------------------------------------
 */

static void note(struct life *l, const char *what, const char *detail) {
    buf_printf(&l->told, "%s: %s\n", what, detail);
}

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *s,
                       bool changed) {
    (void)c;
    if (changed)
        note(ctx, check_level_text(s->level), s->message);
}

static void on_told(void *ctx, const struct incident *i, int64_t wall, const char *what,
                    const char *detail) {
    struct life *l = ctx;
    assert_string_equal(i->service, "web");
    assert_true(wall > 0);
    l->trouble += strcmp(what, "held up") == 0;
    note(l, what, detail);
    if (str_eq(l->town->usurp_at, what))
        town_usurp(l->town);
}

static void on_paged(void *ctx, const char *target, const char *dedup_key) {
    (void)dedup_key;
    note(ctx, "paged", target);
}

static void on_ended(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    struct life *l = ctx;
    assert_false(l->over);
    l->over = true;
    l->unsent = unsent;
    l->has_incident = i != NULL;
    l->state = i ? i->state : INCIDENT_RECEIVED;
    l->error = error ? error->status : HARDY_OK;
    if (error)
        note(l, "error", error->message);
    l->watch = NULL;
    http_client_free(l->client);
}

struct life *town_watch(struct town *t, bool once, const char *by_hand) {
    static const struct watch_events events = {on_checked, on_told, on_paged, NULL, on_ended, NULL};
    static char selves[MAX_LIVES][32];
    struct http_client_options client;
    hardy_error error;
    assert_true(t->life_count < MAX_LIVES);
    struct life *l = &t->lives[t->life_count];
    snprintf(selves[t->life_count], sizeof selves[0], "hardy test, pid %zu", t->life_count);
    t->life_count++;
    *l = (struct life){.town = t};
    buf_init(&l->told, 1 << 20);
    buf_puts(&l->told, "");
    http_client_options_init(&client);
    l->client = http_client_new(t->loop, &client, &error);
    struct watch_options options = {.world = {.loop = t->loop,
                                              .store = t->store,
                                              .state = t->state,
                                              .self = selves[t->life_count - 1],
                                              .client = l->client,
                                              .checks = &t->settings.checks,
                                              .targets = &t->settings.targets,
                                              .settings = &t->settings.incidents,
                                              .inside = &t->inside},
                                    .once = once,
                                    .service = by_hand ? "web" : NULL,
                                    .summary = by_hand,
                                    .page_wait = 10 * HARDY_SECOND};
    if (watch_start(&options, &events, l, &l->watch, &error) != HARDY_OK)
        fail_msg("%s", error.message);
    return l;
}

void town_wait(struct town *t, const struct life *l) {
    for (int n = 0; n < 3600 && !l->over; n++)
        town_pass(t, HARDY_SECOND);
    if (!l->over)
        fail_msg("it does not end:\n%s", l->told.data);
}

void town_wait_told(struct town *t, const struct life *l, const char *text) {
    for (int n = 0; n < 360000 && !strstr(l->told.data, text); n++)
        town_pass(t, 10 * HARDY_MILLISECOND);
    if (!strstr(l->told.data, text))
        fail_msg("never told \"%s\":\n%s", text, l->told.data);
}

void town_stop(struct town *t, struct life *l) {
    watch_stop(l->watch);
    town_wait(t, l);
}

struct change {
    struct town *town;
    bool up;
    struct loop_timer timer;
};

static void on_change(struct loop_timer *timer) {
    struct change *c = timer->ctx;
    c->town->up = c->up;
    free(c);
}

void town_break(struct town *t, int64_t span, bool up) {
    struct change *c = calloc(1, sizeof *c);
    c->town = t;
    c->up = up;
    loop_timer_init(&c->timer, on_change, c);
    sim_outside(t->loop, true);
    loop_timer_start(t->loop, &c->timer, loop_now(t->loop) + span);
    sim_outside(t->loop, false);
}

/* What a kill leaves in memory, kept where it can be found. */
static struct grave {
    struct grave *next;
    struct life life;
} * graves;

static void next_life(void *ctx) {
    bool once = *(bool *)ctx;
    close_locks(here);
    for (size_t n = 0; n < here->life_count; n++) {
        if (here->lives[n].over)
            continue;
        struct grave *g = calloc(1, sizeof *g);
        *g = (struct grave){graves, here->lives[n]};
        graves = g;
        here->lives[n].over = true;
    }
    town_watch(here, once, NULL);
}

void town_kill(struct town *t, int64_t span, bool once) {
    static bool how[2] = {false, true};
    sim_kill_at(t->loop, loop_now(t->loop) + span, next_life, &how[once]);
}

size_t told(const struct life *l, const char *text) {
    size_t count = 0;
    for (const char *at = l->told.data; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

const struct incident *town_incident(struct town *t) {
    static struct incident latest;
    struct past past;
    incident_free(&latest);
    if (!t->loop || !t->inner || past_load(t->inner, "web", &past, NULL) != HARDY_OK)
        return NULL;
    hardy_status status =
        past.incident ? incident_load(t->inner, past.incident, &latest, NULL) : HARDY_E_NOT_FOUND;
    past_free(&past);
    return status == HARDY_OK ? &latest : NULL;
}

static bool count_row(void *ctx, const struct store_row *row) {
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

size_t town_incidents(struct town *t) {
    size_t count = 0;
    assert_int_equal(store_scan(t->inner, "incident", "", NULL, SIZE_MAX, count_row, &count, NULL),
                     HARDY_OK);
    return count;
}

void town_usurp(struct town *t) {
    struct incident i;
    struct buf value;
    t->usurp_at = NULL;
    assert_int_equal(incident_load(t->inner, town_incident(t)->id, &i, NULL), HARDY_OK);
    buf_init(&value, 1 << 20);
    incident_encode(&i, &value);
    struct store_op op = {.kind = STORE_UPDATE,
                          .row_kind = "incident",
                          .key = i.id,
                          .if_fence = i.fence,
                          .fence = i.fence + 1,
                          .value = value.data,
                          .len = value.len};
    assert_int_equal(store_apply(t->inner, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    buf_free(&value);
    incident_free(&i);
}

void town_in_order(const struct life *l, const char *const *lines) {
    const char *at = l->told.data;
    for (; *lines; lines++) {
        const char *found = strstr(at, *lines);
        if (!found)
            fail_msg("not told, or not in this place: %s\n%s", *lines, l->told.data);
        at = found + strlen(*lines);
    }
}
