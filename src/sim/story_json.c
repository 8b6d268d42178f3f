/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "sim/story.h"

static void put_measures(struct json_out *j, const struct measures *m) {
    figure_json(j, "calls_per_operation", m->calls_per_operation);
    figure_json(j, "peak_over_capacity_1s", m->peak_1s);
    figure_json(j, "peak_over_capacity_100ms", m->peak_100ms);
    figure_json(j, "goodput_last_minute", m->goodput_last_minute);
    figure_json(j, "recovered_after_s", m->recovered_after_s);
    figure_json(j, "good_per_second_before", m->good_before);
    figure_json(j, "good_per_second_in_trouble", m->good_during);
    figure_json(j, "longest_s", m->longest_s);
    figure_json(j, "work_for_nobody", m->for_nobody);
    json_out_member_count(j, "operations", m->operations);
    json_out_member_count(j, "good", m->good);
    json_out_member_count(j, "failed", m->failed);
    json_out_member_count(j, "refused", m->refused);
}

static void put_parts(struct json_out *j, const struct fleet_result *r) {
    static const char *const names[FLEET_PARTS] = {"before", "in_trouble", "after"};
    json_out_key(j, "parts");
    json_out_object(j);
    for (int i = 0; i < FLEET_PARTS; i++) {
        const struct fleet_figures *p = &r->parts[i];
        json_out_key(j, names[i]);
        json_out_object(j);
        json_out_member_count(j, "operations", p->operations);
        json_out_member_count(j, "good", p->good);
        json_out_member_count(j, "failed", p->failed);
        json_out_member_count(j, "refused", p->refused);
        json_out_member_count(j, "calls", p->calls);
        figure_json(j, "longest_s", figure_seconds(p->longest));
        json_out_object_end(j);
    }
    json_out_object_end(j);
}

static void put_phases(struct json_out *j, const struct chart *c) {
    json_out_key(j, "phases");
    json_out_array(j);
    for (size_t i = 0; i < c->span_count; i++) {
        json_out_object(j);
        json_out_member_string(j, "name", c->spans[i].name);
        figure_json(j, "from_s", figure_seconds(c->spans[i].from));
        figure_json(j, "until_s", figure_seconds(c->spans[i].until));
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

static void put_breaker(struct json_out *j, const struct fleet_result *r) {
    json_out_key(j, "breaker");
    json_out_array(j);
    for (size_t i = 0; i < r->change_count; i++) {
        json_out_object(j);
        figure_json(j, "at_s", figure_seconds(r->changes[i].at));
        json_out_member_string(j, "from", hardy_breaker_state_name(r->changes[i].from));
        json_out_member_string(j, "to", hardy_breaker_state_name(r->changes[i].to));
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_member_count(j, "breaker_changes", r->changes_in_all);
}

static void put_values(struct json_out *j, const char *key, const double *values, size_t count) {
    json_out_key(j, key);
    json_out_array(j);
    for (size_t i = 0; i < count; i++) {
        json_out_double(j, values[i]);
    }
    json_out_array_end(j);
}

static void put_series(struct json_out *j, const struct chart *c) {
    json_out_key(j, "series");
    json_out_object(j);
    figure_json(j, "width_s", figure_seconds(c->width));
    put_values(j, "calls", c->offered, c->count);
    put_values(j, "good", c->good, c->count);
    put_values(j, "capacity", c->capacity, c->count);
    json_out_object_end(j);
}

static void put_remedies(struct json_out *j, const struct remedies *r) {
    json_out_key(j, "changes");
    json_out_array(j);
    for (size_t i = 0; r && i < r->count; i++) {
        json_out_object(j);
        json_out_member_string(j, "setting", r->found[i].setting);
        put_measures(j, &r->found[i].then);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

static void put_reasons(struct json_out *j, const struct fleet_result *r) {
    json_out_key(j, "ended_for");
    json_out_object(j);
    for (size_t i = 0; i < sizeof r->reasons / sizeof *r->reasons; i++) {
        if (r->reasons[i] > 0) {
            json_out_member_count(j, hardy_reason_text((hardy_reason)i), r->reasons[i]);
        }
    }
    json_out_object_end(j);
}

/* As the models name them. */
static void put_policies(struct json_out *j, const hardy_guard_config *c) {
    static const char *const jitters[] = {"exponential", "full", "equal", "decorrelated",
                                          "proportional"};
    struct buf controls;
    buf_init(&controls, 128);
    const struct {
        const char *name;
        bool there;
    } layers[] = {{"budget", c->budget != NULL},
                  {"breaker", c->breaker != NULL},
                  {"rate", c->rate != NULL},
                  {"bulkhead", c->bulkhead != NULL}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (layers[i].there) {
            buf_printf(&controls, "%s%s", controls.len > 0 ? "," : "", layers[i].name);
        }
    }
    json_out_member_string(j, "strategy", c->retry ? jitters[c->retry->jitter] : "none");
    json_out_member_string(j, "control", controls.len > 0 ? controls.data : "none");
    buf_free(&controls);
}

void story_json(const struct story *s, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "model");
    json_out_null(&j);
    json_out_member_string(&j, "scenario", s->name);
    json_out_member_string(&j, "guard", s->guard->name);
    put_policies(&j, s->guard);
    json_out_member_count(&j, "clients", s->scenario->clients.count);
    figure_json(&j, "capacity", scenario_per_second(s->scenario->server.capacity));
    json_out_member_count(&j, "seed", s->seed);
    figure_json(&j, "done_after_s", -1);
    put_measures(&j, s->measures);
    json_out_member_count(&j, "unfinished", s->result->unfinished);
    json_out_member_count(&j, "retries_suppressed", s->result->stats.retries_suppressed);
    put_reasons(&j, s->result);
    put_parts(&j, s->result);
    put_phases(&j, s->chart);
    put_breaker(&j, s->result);
    put_remedies(&j, s->remedies);
    json_out_key(&j, "plan");
    plan_json(s->plan, &j);
    json_out_key(&j, "warnings");
    json_out_array(&j);
    for (const char *const *w = s->warnings; w && *w; w++) {
        json_out_string(&j, *w);
    }
    json_out_array_end(&j);
    put_series(&j, s->chart);
    json_out_object_end(&j);
    buf_putc(out, '\n');
}
