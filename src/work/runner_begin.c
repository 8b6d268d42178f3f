/* SPDX-License-Identifier: Apache-2.0 */
/* Finding or making a run, and taking it over. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "io/file.h"
#include "work/runner_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VALUE = 16 << 20, MAX_DIFFERENCE = 64 << 10 };
static const int64_t poll_min = 5 * HARDY_MILLISECOND, poll_max = 200 * HARDY_MILLISECOND;
static const int64_t default_lease = 30 * HARDY_SECOND;
static const int64_t listen_every = 500 * HARDY_MILLISECOND;

static void set_text(char **to, const char *text) {
    free(*to);
    *to = str_dup(text);
}

/* --- finding or making the run ------------------------------------------------------------------
 */

struct search {
    struct runner *r;
    char input_hash[65];
    char ids[400];
    size_t found;
    char *id;
    int64_t latest; /* when the last finished one was made */
    hardy_status status;
};

static void consider(struct search *s, const struct run *run) {
    if (run->state == RUN_RUNNING || run->state == RUN_IN_DOUBT) {
        size_t len = strlen(s->ids);
        snprintf(s->ids + len, sizeof s->ids - len, "%s%s", s->found ? ", " : "", run->id);
        s->found++;
        set_text(&s->id, run->id);
    } else if (run->created >= s->latest) {
        s->latest = run->created;
        set_text(&s->r->failed, run->state == RUN_FAILED ? run->id : NULL);
    }
}

static bool match(void *ctx, const struct store_row *row) {
    struct search *s = ctx;
    struct run run;
    if (!strstr(row->value, s->input_hash)) { /* of most runs nothing more is to be read */
        return true;
    }
    s->status = run_decode(row, &run, &s->r->error);
    if (s->status != HARDY_OK) {
        return false;
    }
    if (str_eq(run.file, s->r->options.workflow->path) && str_eq(run.input_hash, s->input_hash)) {
        consider(s, &run);
    }
    run_free(&run);
    return true;
}

static hardy_status hash_input(const char *input, char out[65], hardy_error *error) {
    struct buf canonical;
    buf_init(&canonical, MAX_VALUE);
    hardy_status status = json_canonical(input, strlen(input), &canonical, error);
    if (status == HARDY_OK) {
        sha256_hex(canonical.data, canonical.len, out);
    } else {
        error_prefix(error, "the input");
    }
    buf_free(&canonical);
    return status;
}

hardy_status run_define(const struct workflow *w, const char *id, const char *input,
                        struct run *out, hardy_error *error) {
    *out = (struct run){.id = str_dup(id),
                        .name = str_dup(w->name),
                        .file = str_dup(w->path),
                        .input = str_dup(input),
                        .root = workflow_tree(w)};
    memcpy(out->definition, w->definition, sizeof out->definition);
    if (!out->id || !out->name || !out->file || !out->input || !out->root) {
        run_free(out);
        return fail(error, HARDY_E_NOMEM, w->path, "no memory for a run");
    }
    if (!run_step_make_keys(out->root, out->id)) {
        run_free(out);
        return fail(error, HARDY_E_TOO_LARGE, w->path,
                    "the names of its groups and steps together are longer than %d bytes",
                    STORE_KEY_MAX);
    }
    return HARDY_OK;
}

char *run_new_id(struct loop *loop, const struct workflow *w) {
    char wall[40];
    clock_format_wall(loop_wall(loop), wall);
    return str_format("%.40s-%.4s%.2s%.2s-%.2s%.2s%.2s-%04x", w->name, wall, wall + 5, wall + 8,
                      wall + 11, wall + 14, wall + 17, (unsigned)(loop_random(loop) & 0xffff));
}

static void own(struct runner *r) {
    str_copy(r->lease.owner, sizeof r->lease.owner, r->options.owner ? r->options.owner : "");
}

/* It is written with the start of its first step. */
static hardy_status make_run(struct runner *r, const char *id, const char *input_hash) {
    char *fresh = id ? str_dup(id) : run_new_id(r->options.loop, r->options.workflow);
    if (!fresh) {
        return fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for a run");
    }
    hardy_status status =
        run_define(r->options.workflow, fresh, r->options.input, &r->run, &r->error);
    free(fresh);
    if (status != HARDY_OK) {
        return status;
    }
    r->run.created = loop_wall(r->options.loop);
    str_copy(r->run.input_hash, sizeof r->run.input_hash, input_hash);
    r->lease.key = str_format("run/%s", r->run.id);
    r->lease.fence = 1;
    own(r);
    r->unborn = true;
    return r->lease.key ? HARDY_OK : fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for a run");
}

/* --- secrets ------------------------------------------------------------------------------------
 */

struct telling {
    struct secret_value *values;
    size_t count;
    const char *const *env;
    hardy_error *error;
    hardy_status status;
};

static const char *variable(const char *const *env, const char *name) {
    size_t len = strlen(name);
    for (; env && *env; env++) {
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
            return *env + len + 1;
        }
    }
    return NULL;
}

static bool add_secrets(struct telling *t, const struct workflow *w) {
    for (size_t i = 0; i < w->secrets.count; i++) {
        const char *name = w->secrets.items[i], *value = variable(t->env, name);
        struct secret_value *grown = realloc(t->values, (t->count + 1) * sizeof *grown);
        if (!grown || !value) {
            t->status = !grown ? fail(t->error, HARDY_E_NOMEM, NULL, "no memory for secrets")
                               : fail(t->error, HARDY_E_SYNTAX, w->path,
                                      "the secret %s is not in the environment", name);
            t->values = grown ? grown : t->values;
            return false;
        }
        t->values = grown;
        t->values[t->count++] = (struct secret_value){name, value, strlen(value)};
    }
    return true;
}

static bool add_nested(void *ctx, const struct workflow_step *step) {
    return !step->nested || add_secrets(ctx, step->nested);
}

static hardy_status find_secrets(struct runner *r) {
    struct telling t = {.env = r->options.env, .error = &r->error};
    if (add_secrets(&t, r->options.workflow)) {
        (void)workflow_each(r->options.workflow, add_nested, &t);
    }
    if (t.status == HARDY_OK && t.count > 0) {
        t.status = secrets_new(t.values, t.count, &r->secrets, &r->error);
    }
    free(t.values);
    return t.status;
}

static hardy_status check_same(struct runner *r, const char *input_hash) {
    if (!str_eq(r->run.name, r->options.workflow->name)) {
        return fail(&r->error, HARDY_E_MISMATCH, NULL,
                    "run %s is of the workflow `%s` (%s), this file is `%s`", r->run.id,
                    r->run.name, r->run.file, r->options.workflow->name);
    }
    return str_eq(r->run.input_hash, input_hash)
               ? HARDY_OK
               : fail(&r->error, HARDY_E_MISMATCH, NULL,
                      "run %s has other input: %.120s; now: %.120s", r->run.id, r->run.input,
                      r->options.input);
}

static hardy_status find_or_make(struct runner *r) {
    struct search s = {.r = r};
    const char *id = r->options.id;
    hardy_status status = find_secrets(r);
    status = status == HARDY_OK ? hash_input(r->options.input, s.input_hash, &r->error) : status;
    if (status == HARDY_OK && !id && !r->options.fresh) {
        status = store_scan(r->options.store, "run", "", NULL, SIZE_MAX, match, &s, &r->error);
        status = status == HARDY_OK ? s.status : status;
        if (status == HARDY_OK && s.found > 1) {
            status =
                fail(&r->error, HARDY_E_INVALID, r->options.workflow->path,
                     "%zu runs with this input are unfinished: %s; say which with --id, or --new",
                     s.found, s.ids);
        }
    }
    if (status == HARDY_OK) {
        const char *existing = id ? id : s.id;
        status = existing ? run_load_row(r->options.store, existing, &r->run, &r->error)
                          : HARDY_E_NOT_FOUND; /* its steps are read once it is ours */
        if (status == HARDY_E_NOT_FOUND) {
            hardy_error_init(&r->error, sizeof r->error);
            status = workflow_check_input(r->options.workflow, r->options.input, r->options.env,
                                          &r->error);
            status = status == HARDY_OK ? make_run(r, id, s.input_hash) : status;
        } else if (status == HARDY_OK) {
            r->failed_at = r->run.state == RUN_FAILED ? r->run.ended : 0;
            status = check_same(r, s.input_hash);
        }
    }
    free(s.id);
    r->has_run = status == HARDY_OK;
    return status;
}

/* --- a definition that has changed --------------------------------------------------------------
 */

/* A finished step whose text has changed, but which comes to the same with its values filled in. */
static bool comes_to_the_same(void *ctx, const struct run_step *recorded,
                              const struct run_step *now) {
    struct runner *r = ctx;
    struct run_step *step = (struct run_step *)recorded;
    const struct workflow_step *from = now->says;
    struct scope scope;
    char inputs[65] = "";
    if (recorded->record.state != RECORD_DONE || !recorded->record.inputs[0] ||
        now->kind != RUN_LEAF || runner_waits(now)) {
        return false;
    }
    step->says = from;
    scope_init(&scope, &r->run, step, r->options.env);
    hardy_status status = step_inputs_hash(&scope, inputs, NULL);
    scope_free(&scope);
    return status == HARDY_OK && str_eq(inputs, recorded->record.inputs);
}

/* Takes the recorded steps over into the definition as it is now. */
static hardy_status adopt(struct runner *r) {
    struct run now;
    hardy_status status = run_define(r->options.workflow, r->run.id, r->run.input, &now, &r->error);
    if (status != HARDY_OK) {
        return status;
    }
    status = run_adopt(&r->run, &now, comes_to_the_same, r, &r->error);
    if (status == HARDY_OK) {
        struct run_step *root = r->run.root;
        r->run.root = now.root;
        now.root = root;
        memcpy(r->run.definition, now.definition, sizeof now.definition);
        set_text(&r->run.file, now.file);
    } else if (status == HARDY_E_MISMATCH) {
        struct buf text;
        buf_init(&text, MAX_DIFFERENCE);
        run_put_difference(&r->run, &now, &text);
        r->difference = buf_take(&text);
        buf_free(&text);
    }
    run_free(&now);
    return status;
}

/* --- taking it over -----------------------------------------------------------------------------
 */

/* What failed is to run again. */
static hardy_status reopen(struct runner *r) {
    bool undoing = run_is_undoing(&r->run), any = false;
    for (struct run_step *s = r->run.root; s; s = run_step_after(r->run.root, s)) {
        struct record *record = undoing ? &s->undo : &s->record;
        if (record->state == RECORD_FAILED && (undoing || s->kind == RUN_LEAF)) {
            int64_t before = record->fence++;
            record->state = RECORD_PENDING;
            runner_add_record(r, record, before);
            any = true;
        }
    }
    if (undoing && !any) {
        return fail(&r->error, HARDY_E_CLOSED, NULL,
                    "run %s has been undone; begin a new one with --new, or hardy workflows fork",
                    r->run.id);
    }
    return HARDY_OK;
}

static void forget_settled(struct runner *r, const struct record *record) {
    if ((record->state == RECORD_DONE || record->state == RECORD_FAILED) && record->boot[0]) {
        command_forget(r->options.loop, r->options.state, record);
    }
}

/* Whoever drove it before may have been killed right after it recorded how a step ended. */
static void tidy(struct runner *r) {
    for (struct run_step *s = r->run.root; s; s = run_step_after(r->run.root, s)) {
        if (s->kind == RUN_LEAF) {
            forget_settled(r, &s->record);
            forget_settled(r, &s->undo);
        }
    }
}

static void begun(struct runner *r, bool resumed) {
    if (r->events->begun) {
        r->events->begun(r->ctx, &r->run, resumed, r->failed);
    }
    runner_keep(r);
    runner_drive_on(r);
}

static void after_taken(struct runner *r, hardy_status status, const hardy_error *error) {
    if (status != HARDY_OK) {
        runner_end(r, status, error);
    } else if (r->left) {
        runner_end(r, HARDY_OK, NULL);
    } else {
        begun(r, true);
    }
}

/* This process drives it from now on: a new fence, so that whoever drove it before cannot write. */
static void take_over(struct runner *r) {
    /* Who has waited for another one's attempt has got its result. */
    bool again =
        r->run.state == RUN_FAILED && r->options.retry_failed && r->run.ended == r->failed_at;
    hardy_status status = HARDY_OK;
    if (r->unborn) {
        begun(r, false);
        return;
    }
    tidy(r);
    if (r->run.state != RUN_RUNNING && r->run.state != RUN_IN_DOUBT && !again) {
        if (r->events->begun) {
            r->events->begun(r->ctx, &r->run, true, r->failed);
        }
        runner_end(r, HARDY_OK, NULL);
        return;
    }
    if (again) { /* before the file is looked at: what is to run again may have been mended */
        status = reopen(r);
    }
    status = status == HARDY_OK ? adopt(r) : status;
    if (status == HARDY_OK) {
        int64_t before = r->lease.fence++;
        own(r);
        r->run.state = RUN_RUNNING;
        r->run.verdict = HARDY_OK;
        r->run.ended = 0;
        set_text(&r->run.detail, NULL);
        runner_flush(r, FLUSH_TAKE | FLUSH_RUN, before, after_taken);
    } else {
        runner_end(r, status, &r->error);
    }
}

static void poll_again(struct runner *r) {
    r->poll = r->poll == 0 ? poll_min : 2 * r->poll > poll_max ? poll_max : 2 * r->poll;
    loop_timer_start(r->options.loop, &r->timer, time_add(loop_now(r->options.loop), r->poll));
}

/* Its lock is held, and the time is over for which it is its holder's: that process does not go on,
 * stopped or hung. */
static bool is_overdue(struct runner *r) {
    struct run_lease lease;
    bool overdue = run_lease_load(r->options.store, r->run.id, &lease, NULL) == HARDY_OK &&
                   moment_is_set(&lease.until) &&
                   moment_left(&lease.until, r->boot, loop_now(r->options.loop),
                               loop_wall(r->options.loop)) <= 0;
    run_lease_free(&lease);
    return overdue;
}

/* It may have moved on until it was ours to decide. */
static hardy_status load_again(struct runner *r) {
    char *id = str_dup(r->run.id);
    run_free(&r->run);
    r->has_run = false;
    hardy_status status = id ? run_load(r->options.store, id, &r->run, &r->error) : HARDY_E_NOMEM;
    r->has_run = status == HARDY_OK;
    if (status == HARDY_OK) {
        run_lease_free(&r->lease);
        status = run_lease_load(r->options.store, id, &r->lease, &r->error);
    }
    free(id);
    return status;
}

static void begin(struct runner *r) {
    hardy_status status = HARDY_OK;
    if (!r->place.stem) {
        status = step_place_find(r->options.state, "run", r->run.id, &r->place, &r->error);
    }
    if (status == HARDY_OK) {
        status = step_place_lock(&r->place, &r->lock_fd, &r->error);
    }
    if (status == HARDY_E_RUNNING && !(!r->unborn && is_overdue(r))) {
        if (r->poll == 0 && r->events->waiting) {
            r->events->waiting(r->ctx, &r->run);
        }
        poll_again(r);
        return;
    }
    status = status == HARDY_E_RUNNING ? HARDY_OK : status;
    if (status == HARDY_OK && !r->unborn) {
        status = load_again(r);
    }
    if (status != HARDY_OK) {
        runner_end(r, status, &r->error);
        return;
    }
    hardy_error_init(&r->error, sizeof r->error);
    take_over(r);
}

static void on_poll(struct loop_timer *timer) {
    begin(timer->ctx);
}

/* Under a lock of the file's own, so that two at the same moment make one run. */
static void on_begin(struct loop_timer *timer) {
    struct runner *r = timer->ctx;
    struct step_place place;
    int fd = -1;
    hardy_status status =
        step_place_find(r->options.state, "workflow", r->options.workflow->path, &place, &r->error);
    if (status == HARDY_OK) {
        status = step_place_lock(&place, &fd, &r->error);
        step_place_free(&place);
    }
    if (status == HARDY_E_RUNNING) { /* until another one's run can be found */
        poll_again(r);
        return;
    }
    if (status == HARDY_OK) {
        status = find_or_make(r);
    }
    if (r->unborn) {
        r->file_fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    if (status != HARDY_OK) {
        runner_end(r, status, &r->error);
        return;
    }
    r->poll = 0;
    loop_timer_init(&r->timer, on_poll, r);
    begin(r);
}

/* --- keeping it ---------------------------------------------------------------------------------
 */

static bool is_being_born(const struct runner *r) {
    bool carried = r->unborn;
    for (const struct list *l = r->driven.next; l != &r->driven; l = l->next) {
        carried |= LIST_ITEM(l, struct driven, link)->carries_birth;
    }
    return carried;
}

static void on_renew(struct loop_timer *timer) {
    struct runner *r = timer->ctx;
    loop_timer_start(r->options.loop, timer,
                     time_add(loop_now(r->options.loop), r->options.lease / 3));
    if (!r->over && !is_being_born(r)) {
        runner_flush(r, FLUSH_RENEW, 0, NULL);
    }
}

/* Somebody wants it ended: what runs is ended, and nothing new begins. */
static void cancel(struct runner *r) {
    struct list *next;
    if (r->events->note) {
        r->events->note(r->ctx, &r->run, r->run.root, NOTE_CANCELLING, "");
    }
    r->holding = true;
    for (struct list *l = r->driven.next; l != &r->driven; l = next) {
        struct driven *d = LIST_ITEM(l, struct driven, link);
        next = l->next;
        if (d->command && !d->undo) {
            d->cancelled = true;
            command_cancel(d->command);
        }
    }
    r->holding = false;
    runner_drive_on(r);
}

static void on_listen(struct loop_timer *timer) {
    struct runner *r = timer->ctx;
    loop_timer_start(r->options.loop, timer, time_add(loop_now(r->options.loop), listen_every));
    if (r->over || r->left) {
        return;
    }
    if (!r->run.cancelled && run_hear_cancel(r->options.store, &r->run, NULL) == HARDY_OK &&
        r->run.cancelled) {
        cancel(r);
    } else {
        runner_hear(r);
    }
}

uint32_t runner_next_order(struct runner *r) {
    bool known = r->order > 0;
    for (const struct run_step *s = r->run.root; s && !known; s = run_step_after(r->run.root, s)) {
        r->order = s->record.order > r->order ? s->record.order : r->order;
    }
    return ++r->order;
}

void runner_keep(struct runner *r) {
    int64_t now = loop_now(r->options.loop);
    r->mine = true;
    loop_timer_start(r->options.loop, &r->renew, time_add(now, r->options.lease / 3));
    loop_timer_start(r->options.loop, &r->listen, time_add(now, listen_every));
}

hardy_status runner_start(const struct runner_options *options, const struct runner_events *events,
                          void *ctx, struct runner **out, hardy_error *error) {
    struct runner *r = calloc(1, sizeof *r);
    if (!r) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a run");
    }
    r->options = *options;
    if (r->options.lease == 0) {
        r->options.lease = default_lease;
    }
    r->events = events;
    r->ctx = ctx;
    r->lock_fd = r->file_fd = -1;
    file_boot_id(r->boot);
    list_init(&r->unwritten);
    list_init(&r->driven);
    buf_init(&r->run_row, MAX_VALUE);
    buf_init(&r->lease_row, MAX_VALUE);
    hardy_error_init(&r->error, sizeof r->error);
    hardy_error_init(&r->refusal, sizeof r->refusal);
    loop_timer_init(&r->timer, on_begin, r);
    loop_timer_init(&r->renew, on_renew, r);
    loop_timer_init(&r->listen, on_listen, r);
    loop_timer_start(options->loop, &r->timer, loop_now(options->loop));
    *out = r;
    return HARDY_OK;
}
