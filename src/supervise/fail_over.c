/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/fail_over.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "io/file.h"
#include "supervise/fail_over_address.h"
#include "supervise/fail_over_inside.h"
#include "supervise/fail_over_seeded.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ROW = 1 << 20 };
/* How often the lock, an address that is taken and the like are tried again. */
static const int64_t poll = HARDY_SECOND;
/* What is older than so many intervals of its check says nothing. */
enum { FRESH_INTERVALS = 3 };

static int64_t now_of(const struct group *g) {
    return loop_now(g->owner->world.loop);
}

static size_t index_of(const struct group *g, const char *name) {
    size_t n = 0;
    while (n < g->machine.count && !str_eq(g->candidates[n].name, name))
        n++;
    return n;
}

static bool replace(char **text, const char *with) {
    char *copy = str_dup(with);
    free(*text);
    *text = copy;
    return copy || !with;
}

static void on_rest_over(struct loop_timer *timer) {
    struct group *g = timer->ctx;
    g->rested(g);
}

/* --- where the active one is told ------------------------------------------------------------- */

static void write_file(struct group *g) {
    const char *cwd = g->owner->world.cwd;
    const char *file = g->settings->file, *address = g->candidates[g->machine.active].address;
    char text[600];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!file || !g->file_due)
        return;
    char *path = file[0] == '/' ? str_dup(file) : str_format("%s/%s", cwd ? cwd : ".", file);
    char *line = str_format("%s\n", address);
    hardy_status status = path && line
                              ? file_write(path, line, strlen(line), false, &error)
                              : fail(&error, HARDY_E_NOMEM, NULL, "no memory to write %s", file);
    free(path);
    free(line);
    g->file_due = status != HARDY_OK;
    if (status != HARDY_OK && !g->file_told) {
        snprintf(text, sizeof text, "%s; it is tried again whenever a check answers",
                 error.message);
        group_tell(g, "file", text);
    }
    g->file_told = status != HARDY_OK;
}

static void open_relay(struct group *g) {
    const struct fail_over_settings *s = g->settings;
    const struct relay_options options = {.max_connections = s->max_connections,
                                          .connect_timeout = s->connect_timeout,
                                          .wait_timeout = time_add(s->timeout, s->connect_timeout)};
    struct http_authority address;
    char text[600];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!s->listen || g->relay ||
        http_authority_parse(s->listen, strlen(s->listen), &address, NULL) != HARDY_OK)
        return;
    g->relay = relay_open(g->owner->world.loop, address.host, address.port, &options, &error);
    if (!g->relay && !g->relay_told) {
        snprintf(text, sizeof text, "%s; it is tried again whenever a check answers",
                 error.message);
        group_tell(g, "not listening", text);
    } else if (g->relay && g->relay_told) {
        group_tell(g, "listening", s->listen);
    }
    g->relay_told = !g->relay;
}

/* What is new goes to the active one, unless its command has not ended yet. */
static void aim(struct group *g, int64_t drain) {
    struct http_authority to;
    open_relay(g);
    if (!g->relay)
        return;
    if (g->carrying)
        (void)relay_target(g->relay, NULL, 0, drain);
    else if (FAIL_OVER_BUG(BUG_AIM) && g->record.number > 1)
        return;
    else if (fail_over_address(g->candidates[g->machine.active].address, &to))
        (void)relay_target(g->relay, to.host, to.port, drain);
}

/* --- deciding --------------------------------------------------------------------------------- */

static void decide(struct group *g);
static void carry_out(struct group *g);
static void decide_anew(struct group *g);

static bool at_rest(const struct group *g) {
    return g->lock_fd >= 0 && !g->writing && !g->held_up && !g->carrying;
}

/* What keeps hardy from switching by itself. */
static void look_at_automation(struct group *g) {
    enum automation automation =
        automation_resolve(AUTOMATION_INHERIT, g->settings->automation, g->owner->world.automation);
    snprintf(g->hands, sizeof g->hands, "automation is %s", automation_text(automation));
    g->machine.hands = automation == AUTOMATION_ACT ? NULL : g->hands;
    g->machine.quiet = false;
}

static void look_at_people(struct group *g) {
    const struct fail_over_world *world = &g->owner->world;
    struct hands_off off;
    (void)hands_off(world->maintenance, world->store, g->settings->name, loop_wall(world->loop),
                    &off, NULL);
    if (!off.off)
        return;
    snprintf(g->hands, sizeof g->hands, "hands off: %s", off.why);
    g->machine.hands = g->hands;
    g->machine.quiet = true;
}

static void begin_switch(struct group *g, const struct fail_over_next *next, const char *key) {
    struct fail_over_record *r = &g->record;
    const struct fail_over_world *world = &g->owner->world;
    const char *from = g->candidates[g->machine.active].name, *to = g->candidates[next->to].name;
    struct fail_over_key *open = fail_over_record_open_key(r);
    if (open) { /* its command is in doubt, and this switch makes that one past */
        open->over = true;
        open->status = HARDY_E_IN_DOUBT;
    }
    r->number++;
    r->at = loop_wall(world->loop);
    r->switched = moment_after(g->owner->boot, now_of(g), r->at, 0);
    r->carried = r->doubt = false;
    bool good = replace(&r->from, from) && replace(&r->active, to) && replace(&r->why, next->why) &&
                replace(&r->outcome, NULL) && (!key || fail_over_record_add_key(r, key));
    if (!good) { /* what is in memory is not the row any more */
        group_lost(g, "no memory for a switch: its record is read again");
        return;
    }
    fail_over_moved(&g->machine, next->to, now_of(g));
    g->proposed = g->machine.count;
    group_note(g, "switching", "from %s to %s: %s", from, to, next->why);
    group_write(g, carry_out, decide_anew);
}

/* What people are to know. */
static bool add_telling(struct group *g, const struct fail_over_next *next) {
    if (next->tell == FAIL_OVER_TELL_NOTHING)
        return false;
    bool page = next->tell == FAIL_OVER_PAGE;
    fail_over_told(&g->machine, next->tell);
    group_note(g, page ? "escalated" : "resolved", "%s", next->why);
    group_page(g, page ? "trigger" : "resolve", next->why);
    return true;
}

static bool add_proposal(struct group *g, const struct fail_over_next *next) {
    if (next->kind != FAIL_OVER_PROPOSE) {
        if (g->machine.condition != FAIL_OVER_OUT)
            g->proposed = g->machine.count;
        return false;
    }
    if (g->proposed == next->to)
        return false;
    g->proposed = next->to;
    g->record.proposed++;
    group_note(g, "proposed", "%s", next->why);
    return true;
}

/* A switch in doubt that a person has said something about goes on. */
static bool doubt_settled(struct group *g) {
    struct record r;
    if (!g->record.doubt)
        return false;
    char *key = fail_over_run_key(g->settings->name, &g->record);
    bool settled = false;
    if (key && record_load(g->owner->world.store, "remedy", key, &r, NULL) == HARDY_OK) {
        settled = r.state != RECORD_IN_DOUBT;
        record_free(&r);
    }
    free(key);
    return settled;
}

static void decide(struct group *g) {
    if (!at_rest(g))
        return;
    aim(g, 0);
    write_file(g);
    if (doubt_settled(g)) {
        g->record.doubt = false;
        carry_out(g);
        return;
    }
    look_at_automation(g);
    struct fail_over_next next = fail_over_decide(&g->machine, now_of(g));
    if (next.kind != FAIL_OVER_STAY || next.tell == FAIL_OVER_PAGE) {
        look_at_people(g);
        next = fail_over_decide(&g->machine, now_of(g));
    }
    str_copy(g->why, sizeof g->why, next.why);
    loop_timer_start(g->owner->world.loop, &g->timer,
                     next.again > now_of(g) ? next.again : HARDY_NEVER);
    if (next.kind == FAIL_OVER_SWITCH) {
        begin_switch(g, &next, NULL);
        return;
    }
    bool write = add_proposal(g, &next);
    if (add_telling(g, &next) || write)
        group_write(g, decide, NULL);
}

/* --- carrying a switch out -------------------------------------------------------------------- */

static void tell_switched(struct group *g, const struct fail_over_key *key) {
    struct fail_over *f = g->owner;
    if (f->events->switched)
        f->events->switched(f->ctx, g->settings->name, key->key, key->status,
                            key->detail ? key->detail : "");
}

static void settled(struct group *g) {
    const struct fail_over_key *key = &g->record.keys[0];
    g->carrying = false;
    g->file_due = true;
    aim(g, 0);
    write_file(g);
    if (key->key && key->over && key->number == g->record.number)
        tell_switched(g, key);
    decide(g);
}

/* The command has ended so: HARDY_OK, or `detail` says what is wrong with it. */
static void carried(struct group *g, hardy_status status, const char *detail) {
    struct fail_over_record *r = &g->record;
    r->doubt = status == HARDY_E_IN_DOUBT;
    r->carried = !r->doubt;
    replace(&r->outcome, status == HARDY_OK ? NULL : detail);
    struct fail_over_key *key = fail_over_record_open_key(r);
    if (key) {
        key->over = r->carried;
        key->status = status;
        replace(&key->detail, detail);
    }
    if (status == HARDY_OK) {
        group_note(g, "switched", "to %s, %s%s%s", r->active,
                   g->candidates[g->machine.active].address, detail[0] ? ": " : "", detail);
    } else {
        group_note(g, r->doubt ? "in doubt" : "failed", "%s", detail);
        fail_over_told(&g->machine, FAIL_OVER_PAGE);
        group_page(g, "trigger", detail);
    }
    group_write(g, settled, NULL);
}

static void on_command_event(void *ctx, enum command_event what, const struct record *record,
                             const char *detail) {
    struct group *g = ctx;
    char text[400];
    switch (what) {
    case COMMAND_STARTED:
        snprintf(text, sizeof text, "its command started%s", record->attempt > 1 ? " again" : "");
        break;
    case COMMAND_ATTACHED:
        snprintf(text, sizeof text, "its command is running already: attached, not started again");
        break;
    case COMMAND_COLLECTED:
        snprintf(text, sizeof text, "its command ended while nobody watched");
        break;
    case COMMAND_PROBED:
        snprintf(text, sizeof text, "nobody knows how its command ended; %s", detail);
        break;
    case COMMAND_RETRY:
    case COMMAND_REPLAYED:
        return;
    }
    str_make_printable(text);
    group_tell(g, "run", text);
}

static void failed_text(const struct group *g, const struct command_result *result, char *out,
                        size_t size) {
    const struct record *r = result->record;
    const char *output = r && r->output ? r->output : "";
    size_t first = strcspn(output, "\r\n");
    snprintf(out, size, "the command of the switch to %s failed: %.300s%s%.*s", g->record.active,
             r && r->detail ? r->detail : result->error->message, output[0] ? ": " : "",
             (int)(first < 300 ? first : 300), output);
    str_make_printable(out);
}

static void on_command_ended(void *ctx, const struct command_result *result) {
    struct group *g = ctx;
    const struct record *r = result->record;
    bool failed = r && r->state == RECORD_FAILED;
    char text[900], span[48];
    g->command = NULL;
    if (result->status == HARDY_OK) {
        format_duration_short(r && r->ended > r->started ? r->ended - r->started : 0, span);
        snprintf(text, sizeof text, "its command took %s", span);
        carried(g, HARDY_OK, text);
    } else if (result->status == HARDY_E_IN_DOUBT) {
        snprintf(text, sizeof text,
                 "the command of the switch to %s was started and nobody knows how it ended; find "
                 "out, then type: hardy --state %s actions resolve %s --done (or --retry, --fail)",
                 g->record.active, g->owner->world.state, g->run.key);
        carried(g, HARDY_E_IN_DOUBT, text);
    } else if (failed || result->status == HARDY_E_MISMATCH) {
        failed_text(g, result, text, sizeof text);
        carried(g, result->status, text);
    } else if (result->status == HARDY_E_FENCED) {
        group_lost(g, "another hardy has written its record: it is read again");
    } else { /* the state, or this host, has trouble: not the command's fault */
        group_held_up(g, result->error, carry_out);
    }
}

/* The switch is recorded: begun, or gone on with after a kill. */
static void carry_out(struct group *g) {
    static const struct command_events events = {.event = on_command_event,
                                                 .ended = on_command_ended};
    const struct fail_over_world *world = &g->owner->world;
    size_t from = index_of(g, g->record.from);
    bool alive = from < g->machine.count && g->seen[from].level == LEVEL_UP &&
                 g->seen[from].last == CHECK_PASS;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    g->carrying = true;
    aim(g, alive ? g->settings->drain : 0);
    if (!g->settings->run.argv) {
        carried(g, HARDY_OK, "");
        return;
    }
    hardy_status status =
        fail_over_run_prepare(&g->run, g->settings, &g->record, &g->candidates[g->machine.active],
                              world->env, world->cwd, &error);
    if (status == HARDY_OK)
        status = command_start(world->loop, world->store, world->state, &g->run.spec, &events, g,
                               &g->command, &error);
    if (status != HARDY_OK)
        group_held_up(g, &error, carry_out);
}

/* --- who decides ------------------------------------------------------------------------------ */

static void look_for_lock(struct group *g);

static void on_begin(struct loop_timer *timer) {
    look_for_lock(timer->ctx);
}

static void on_again(struct loop_timer *timer) {
    decide(timer->ctx);
}

static void again_later(struct group *g, void (*fn)(struct loop_timer *timer)) {
    struct loop *loop = g->owner->world.loop;
    loop_timer_stop(loop, &g->timer);
    loop_timer_init(&g->timer, fn, g);
    loop_timer_start(loop, &g->timer, time_add(loop_now(loop), poll));
}

void group_lost(struct group *g, const char *why) {
    if (g->lock_fd >= 0)
        close(g->lock_fd);
    g->lock_fd = -1;
    g->carrying = g->held_up = g->trouble_told = false;
    group_tell(g, "waiting", why);
    again_later(g, on_begin);
}

/* When the last switch was, by this loop's clock. */
static int64_t switched_at(const struct group *g) {
    struct loop *loop = g->owner->world.loop;
    const struct moment *m = &g->record.switched;
    if (!moment_is_set(m) || FAIL_OVER_BUG(BUG_NO_DWELL))
        return HARDY_NEVER;
    int64_t left = moment_left(m, g->owner->boot, loop_now(loop), loop_wall(loop));
    return loop_now(loop) + (left < 0 ? left : 0); /* a wall clock that was set back: now */
}

static bool is_unfinished(const struct fail_over_record *r) {
    return r->number > 0 && !r->carried && !r->doubt;
}

/* The state did not take a switch. Now that it may, what was right then need not be so any more:
 * what is recorded is read, and it is decided anew. */
static void decide_anew(struct group *g) {
    struct fail_over_record r;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status =
        fail_over_record_load(g->owner->world.store, g->settings->name, &r, &error);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND) {
        group_held_up(g, &error, decide_anew);
        return;
    }
    struct fail_over_key *asked = fail_over_record_open_key(&g->record);
    if (asked && !fail_over_record_key(&r, asked->key)) {
        asked->status = HARDY_E_REFUSED;
        replace(&asked->detail, "the state did not take the switch");
        tell_switched(g, asked);
    }
    group_forget(g);
    fail_over_record_free(&g->record);
    g->record = r;
    g->held_up = false;
    g->machine.switched = switched_at(g);
    size_t active = index_of(g, r.active);
    g->machine.active = active < g->machine.count ? active : 0;
    if (is_unfinished(&g->record))
        carry_out(g);
    else
        decide(g);
}

static void first_written(struct group *g) {
    g->file_due = true;
    decide(g);
}

/* This process has the lock: what there is. */
static void take_up(struct group *g) {
    const struct fail_over_world *world = &g->owner->world;
    char text[400];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    fail_over_record_free(&g->record);
    hardy_status status =
        fail_over_record_load(world->store, g->settings->name, &g->record, &error);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND) {
        if (!g->held_up)
            group_tell(g, "held up", error.message);
        g->held_up = true;
        close(g->lock_fd);
        g->lock_fd = -1;
        again_later(g, on_begin);
        return;
    }
    g->held_up = false;
    loop_timer_stop(world->loop, &g->timer);
    loop_timer_init(&g->timer, on_again, g);
    g->machine.told = !g->record.told      ? FAIL_OVER_WELL
                      : g->record.told_out ? FAIL_OVER_OUT
                                           : FAIL_OVER_DEGRADED;
    g->machine.switched = switched_at(g);
    size_t active = index_of(g, g->record.active);
    g->machine.active = active < g->machine.count ? active : 0;
    if (active == g->machine.count) {
        if (g->record.active) {
            snprintf(text, sizeof text, "%s was active, and is no candidate any more: now %s is",
                     g->record.active, g->candidates[0].name);
            group_note(g, "switched", "%s", text);
        }
        g->record.carried = true;
        replace(&g->record.active, g->candidates[0].name);
        aim(g, 0); /* connections need not wait for the record that nothing was done */
        group_write(g, first_written, NULL);
    } else if (is_unfinished(&g->record) && !FAIL_OVER_BUG(BUG_UNFINISHED)) {
        snprintf(text, sizeof text, "the switch from %s to %s was left unfinished; it goes on",
                 g->record.from ? g->record.from : "", g->record.active);
        group_tell(g, "taken up", text);
        carry_out(g);
    } else {
        first_written(g);
    }
}

static void look_for_lock(struct group *g) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = step_place_lock(&g->place, &g->lock_fd, &error);
    if (status == HARDY_OK) {
        g->waiting = false;
        take_up(g);
        return;
    }
    g->lock_fd = -1;
    if (!g->waiting)
        group_tell(g, "waiting",
                   status == HARDY_E_RUNNING ? "another hardy decides; takes over when that ends"
                                             : error.message);
    g->waiting = true;
    again_later(g, on_begin);
}

/* --- for others ------------------------------------------------------------------------------- */

void fail_over_checked(struct fail_over *f, const struct check_settings *check,
                       const struct check_state *state) {
    if (f->stopping)
        return;
    for (size_t n = 0; n < f->count; n++) {
        struct group *g = &f->groups[n];
        bool concerned = false;
        for (size_t k = 0; k < g->machine.count; k++) {
            if (!str_eq(g->candidates[k].check, check->name))
                continue;
            fail_over_see(&g->seen[k], state->last, state->level, state->flapping, now_of(g));
            concerned = true;
        }
        if (concerned)
            decide(g);
    }
}

static struct group *find(const struct fail_over *f, const char *name) {
    for (size_t n = 0; n < f->count; n++)
        if (str_eq(f->groups[n].settings->name, name))
            return &f->groups[n];
    return NULL;
}

/* Switches that were asked for again, and had ended before. */
static void on_answer(struct loop_timer *timer) {
    struct group *g = timer->ctx;
    for (size_t n = 0; n < FAIL_OVER_KEYS && g->record.keys[n].key; n++) {
        if (g->record.keys[n].asked_again)
            tell_switched(g, &g->record.keys[n]);
        g->record.keys[n].asked_again = false;
    }
}

hardy_status fail_over_switch(struct fail_over *f, const char *name, const char *key,
                              hardy_error *error) {
    struct group *g = find(f, name);
    if (!g)
        return fail(error, HARDY_E_NOT_FOUND, NULL, "there is no `%s` under fail_over:", name);
    struct fail_over_key *known = fail_over_record_key(&g->record, key);
    if (known) {
        known->asked_again = known->over;
        if (known->over)
            loop_timer_start(f->world.loop, &g->answer, now_of(g));
        return HARDY_OK;
    }
    if (!at_rest(g))
        return fail(error, HARDY_E_RUNNING, NULL,
                    g->lock_fd < 0 ? "another hardy decides about %s"
                                   : "a switch of %s is under way",
                    name);
    struct fail_over_next next = fail_over_asked(&g->machine, now_of(g));
    if (next.kind != FAIL_OVER_SWITCH)
        return fail(error, HARDY_E_REFUSED, NULL, "%s: %s", name, next.why);
    begin_switch(g, &next, key);
    return HARDY_OK;
}

uint16_t fail_over_port(const struct fail_over *f, const char *name) {
    const struct group *g = find(f, name);
    return g && g->relay ? relay_port(g->relay) : 0;
}

/* --- beginning and end ------------------------------------------------------------------------ */

static void free_all(struct fail_over *f) {
    for (size_t n = 0; n < f->count; n++) {
        struct group *g = &f->groups[n];
        if (g->lock_fd >= 0)
            close(g->lock_fd);
        step_place_free(&g->place);
        fail_over_run_free(&g->run);
        fail_over_record_free(&g->record);
        group_write_free(g);
        free(g->seen);
    }
    free(f->groups);
    free(f);
}

static hardy_status start_one(struct fail_over *f, struct group *g,
                              const struct fail_over_settings *s, hardy_error *error) {
    struct loop *loop = f->world.loop;
    size_t count = s->candidates.count;
    g->owner = f;
    g->settings = s;
    g->candidates = s->candidates.items;
    g->lock_fd = -1;
    g->record.fence = -1;
    g->proposed = count;
    g->seen = calloc(count, sizeof *g->seen);
    buf_init(&g->row, MAX_ROW);
    if (!g->seen)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for fail_over %s", s->name);
    fail_over_machine_init(&g->machine, &s->rule, g->seen, count, loop_now(loop));
    const struct check_settings *checks = f->world.checks->items;
    for (size_t n = 0; n < count; n++) {
        int64_t fresh_for = HARDY_NEVER;
        for (size_t k = 0; k < f->world.checks->count; k++)
            if (str_eq(checks[k].name, g->candidates[n].check))
                fresh_for =
                    time_add(time_scale(checks[k].interval, FRESH_INTERVALS), checks[k].timeout);
        fail_over_seen_init(&g->seen[n], g->candidates[n].name, fresh_for);
    }
    loop_timer_init(&g->rest, on_rest_over, g);
    loop_timer_init(&g->timer, on_begin, g);
    loop_timer_init(&g->answer, on_answer, g);
    hardy_status status = step_place_find(f->world.state, FAIL_OVER_ROW, s->name, &g->place, error);
    if (status == HARDY_OK)
        loop_timer_start(loop, &g->timer, loop_now(loop));
    return status;
}

hardy_status fail_over_start(const struct fail_over_world *world,
                             const struct schema_list *settings,
                             const struct fail_over_events *events, void *ctx,
                             struct fail_over **out, hardy_error *error) {
    const struct fail_over_settings *items = settings->items;
    struct fail_over *f = calloc(1, sizeof *f);
    if (f)
        f->groups = calloc(settings->count + 1, sizeof *f->groups);
    if (!f || !f->groups) {
        free(f);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for fail_over");
    }
    f->world = *world;
    f->events = events;
    f->ctx = ctx;
    file_boot_id(f->boot);
    for (size_t n = 0; n < settings->count; n++) {
        f->count++;
        hardy_status status = start_one(f, &f->groups[n], &items[n], error);
        if (status != HARDY_OK) {
            for (size_t k = 0; k < n; k++)
                loop_timer_stop(world->loop, &f->groups[k].timer);
            free_all(f);
            return status;
        }
    }
    *out = f;
    return HARDY_OK;
}

static void on_freed(struct loop_post *post) {
    struct fail_over *f = post->ctx;
    void (*gone)(void *ctx) = f->gone;
    void *ctx = f->gone_ctx;
    free_all(f);
    if (gone)
        gone(ctx);
}

static void one_gone(void *ctx) {
    struct fail_over *f = ctx;
    if (--f->under_way == 0)
        loop_post(f->world.loop, &f->freed);
}

void group_written_late(struct group *g) {
    one_gone(g->owner);
}

void fail_over_stop(struct fail_over *f, void (*gone)(void *ctx), void *ctx) {
    f->stopping = true;
    f->gone = gone;
    f->gone_ctx = ctx;
    f->freed = (struct loop_post){.fn = on_freed, .ctx = f};
    f->under_way = 1;
    for (size_t n = 0; n < f->count; n++) {
        struct group *g = &f->groups[n];
        loop_timer_stop(f->world.loop, &g->timer);
        loop_timer_stop(f->world.loop, &g->rest);
        loop_timer_stop(f->world.loop, &g->answer);
        if (g->command)
            command_leave(g->command);
        f->under_way += g->writing;
        if (g->relay) {
            f->under_way++;
            relay_close(g->relay, one_gone, f);
        }
    }
    one_gone(f);
}
