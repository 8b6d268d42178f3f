/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/child_record.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/field.h"
#include "supervise/child_settings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void child_record_add_death(struct child_record *r, const struct child_death *death) {
    if (r->death_count == CHILD_DEATHS_MAX)
        memmove(r->deaths, r->deaths + 1, --r->death_count * sizeof *r->deaths);
    r->deaths[r->death_count++] = *death;
    r->died++;
}

const char *child_record_find_key(const struct child_record *r, const char *key) {
    for (size_t n = 0; n < r->key_count; n++)
        if (str_eq(r->keys[n].key, key))
            return r->keys[n].number;
    return NULL;
}

void child_record_add_key(struct child_record *r, const char *key) {
    if (r->key_count == CHILD_KEYS_MAX)
        memmove(r->keys, r->keys + 1, --r->key_count * sizeof *r->keys);
    str_copy(r->keys[r->key_count].key, sizeof r->keys[0].key, key);
    str_copy(r->keys[r->key_count++].number, sizeof r->keys[0].number, r->number);
}

void child_end_text(int code, int signal, bool unknown, char *out, size_t size) {
    if (unknown)
        snprintf(out, size, "has ended, nobody knows how");
    else if (signal)
        snprintf(out, size, "was ended by %s", child_signal_text(signal));
    else
        snprintf(out, size, "exited with %d", code);
}

/* --- the row ---------------------------------------------------------------------------------- */

static void put_times(struct json_out *j, const char *key, const int64_t *times, uint32_t count) {
    char text[24];
    json_out_key(j, key);
    json_out_array(j);
    for (uint32_t n = 0; n < count; n++) {
        snprintf(text, sizeof text, "%lld", (long long)times[n]);
        json_out_string(j, text);
    }
    json_out_array_end(j);
}

static void put_machine(const struct child *c, struct json_out *j) {
    json_out_key(j, "machine");
    json_out_object(j);
    json_out_member_string(j, "state", child_state_text(c->state));
    json_out_member_count(j, "why", (uint64_t)c->why);
    json_out_member_count(j, "step", c->step);
    json_out_key(j, "fast_used");
    json_out_bool(j, c->fast_used);
    json_out_key(j, "exhausted");
    json_out_bool(j, c->exhausted);
    json_out_key(j, "restarting");
    json_out_bool(j, c->restarting);
    json_out_key(j, "code");
    json_out_int(j, c->code);
    json_out_key(j, "signal");
    json_out_int(j, c->signal);
    json_out_key(j, "unknown");
    json_out_bool(j, c->unknown);
    field_put_time(j, "until", c->until);
    field_put_time(j, "started", c->started);
    field_put_time(j, "ready", c->ready);
    put_times(j, "restarts", c->restarts, c->restart_count);
    put_times(j, "crashes", c->crashes, c->crash_count);
    json_out_object_end(j);
}

static void put_deaths(const struct child_record *r, struct json_out *j) {
    json_out_key(j, "deaths");
    json_out_array(j);
    for (size_t n = 0; n < r->death_count; n++) {
        const struct child_death *d = &r->deaths[n];
        json_out_object(j);
        field_put_time(j, "at", d->at);
        json_out_key(j, "code");
        json_out_int(j, d->code);
        json_out_key(j, "signal");
        json_out_int(j, d->signal);
        json_out_key(j, "unknown");
        json_out_bool(j, d->unknown);
        field_put_time(j, "lived", d->lived);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

void child_record_encode(const struct child_record *r, const struct child *c, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "boot", r->boot);
    json_out_member_string(&j, "number", r->number);
    json_out_member_string(&j, "command", r->command);
    json_out_key(&j, "pid");
    json_out_int(&j, r->process.pid);
    field_put_time(&j, "pid_started", r->process.started);
    field_put_time(&j, "since", r->since);
    json_out_key(&j, "left");
    json_out_bool(&j, r->left);
    json_out_key(&j, "paged");
    json_out_bool(&j, r->paged);
    json_out_member_count(&j, "starts", r->starts);
    json_out_member_count(&j, "died", r->died);
    put_machine(c, &j);
    put_deaths(r, &j);
    json_out_key(&j, "keys");
    json_out_array(&j);
    for (size_t n = 0; n < r->key_count; n++) {
        json_out_object(&j);
        json_out_member_string(&j, "key", r->keys[n].key);
        json_out_member_string(&j, "number", r->keys[n].number);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
}

static int64_t whole(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

static bool flag(const json_t *o, const char *key) {
    return json_is_true(json_object_get(o, key));
}

static uint32_t get_times(const json_t *o, const char *key, int64_t *times) {
    uint32_t count = 0;
    size_t n;
    json_t *item;
    json_array_foreach(json_object_get(o, key), n, item) {
        if (json_is_string(item) && count < CHILD_COUNTED_MAX)
            times[count++] = strtoll(json_string_value(item), NULL, 10);
    }
    return count;
}

static void get_machine(const json_t *o, struct child *c) {
    const char *state = json_string_value(json_object_get(o, "state"));
    for (int n = CHILD_STOPPED; n <= CHILD_DONE; n++)
        if (str_eq(state, child_state_text((enum child_state)n)))
            c->state = (enum child_state)n;
    c->why = (enum child_why)whole(o, "why");
    c->step = (uint32_t)whole(o, "step");
    c->fast_used = flag(o, "fast_used");
    c->exhausted = flag(o, "exhausted");
    c->restarting = flag(o, "restarting");
    c->code = (int)whole(o, "code");
    c->signal = (int)whole(o, "signal");
    c->unknown = flag(o, "unknown");
    c->until = field_time(o, "until");
    c->started = field_time(o, "started");
    c->ready = field_time(o, "ready");
    c->restart_count = get_times(o, "restarts", c->restarts);
    c->crash_count = get_times(o, "crashes", c->crashes);
}

static void get_lists(const json_t *o, struct child_record *r) {
    size_t n;
    json_t *item;
    json_array_foreach(json_object_get(o, "deaths"), n, item) {
        struct child_death d = {.at = field_time(item, "at"),
                                .code = (int)whole(item, "code"),
                                .signal = (int)whole(item, "signal"),
                                .unknown = flag(item, "unknown"),
                                .lived = field_time(item, "lived")};
        child_record_add_death(r, &d);
    }
    json_array_foreach(json_object_get(o, "keys"), n, item) {
        if (r->key_count == CHILD_KEYS_MAX)
            break;
        field_copy(r->keys[r->key_count].key, sizeof r->keys[0].key, item, "key");
        field_copy(r->keys[r->key_count].number, sizeof r->keys[0].number, item, "number");
        r->key_count++;
    }
}

hardy_status child_record_load(struct store *store, const char *name, const char *boot,
                               struct child_record *out, struct child *c, hardy_error *error) {
    struct store_row row;
    *out = (struct child_record){0};
    hardy_status status = store_get(store, "child", name, &row, error);
    if (status != HARDY_OK)
        return status;
    json_t *o = json_loadb(row.value, row.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *machine = json_object_get(o, "machine");
    if (!json_is_object(machine)) {
        status = fail(error, HARDY_E_CORRUPT, NULL, "the record of child %s cannot be read", name);
    } else {
        field_copy(out->boot, sizeof out->boot, o, "boot");
        field_copy(out->number, sizeof out->number, o, "number");
        field_copy(out->command, sizeof out->command, o, "command");
        get_lists(o, out);
        out->since = field_time(o, "since");
        out->paged = flag(o, "paged");
        out->starts = (uint64_t)whole(o, "starts");
        out->died = (uint64_t)whole(o, "died");
        out->left = flag(o, "left");
        if (str_eq(out->boot, boot)) {
            out->process =
                (struct process_identity){(int)whole(o, "pid"), field_time(o, "pid_started")};
            if (c)
                get_machine(machine, c);
        }
    }
    json_decref(o);
    store_row_free(&row);
    return status;
}
