/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "supervise/fail_over_inside.h"

static void put_bool(struct json_out *j, const char *key, bool value) {
    json_out_key(j, key);
    json_out_bool(j, value);
}

static void put_candidates(const struct group *g, struct json_out *j) {
    json_out_key(j, "candidates");
    json_out_array(j);
    for (size_t n = 0; n < g->machine.count; n++) {
        const struct fail_over_seen *s = &g->seen[n];
        json_out_object(j);
        json_out_member_string(j, "name", g->candidates[n].name);
        json_out_member_string(j, "address", g->candidates[n].address);
        json_out_member_string(j, "check", g->candidates[n].check);
        json_out_member_string(j, "level", check_level_text(s->level));
        put_bool(j, "flapping", s->flapping);
        json_out_member_count(j, "passes", s->passes);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

static void put_relay(const struct group *g, struct json_out *j) {
    struct relay_figures figures = relay_figures(g->relay);
    json_out_key(j, "connections");
    json_out_object(j);
    json_out_member_count(j, "open", figures.open);
    json_out_member_count(j, "accepted", figures.accepted);
    json_out_member_count(j, "refused", figures.refused);
    json_out_member_count(j, "failed", figures.failed);
    json_out_member_count(j, "closed_by_switches", figures.moved);
    json_out_object_end(j);
}

void group_to_json(const struct group *g, struct json_out *j) {
    const struct fail_over_record *r = &g->record;
    char text[40];
    json_out_object(j);
    json_out_member_string(j, "name", g->settings->name);
    json_out_member_string(j, "state",
                           g->lock_fd < 0 ? "waiting"
                           : g->held_up   ? "held_up"
                           : g->carrying  ? "switching"
                                          : fail_over_condition_text(g->machine.condition));
    json_out_member_string(j, "why", g->why);
    json_out_member_string(j, "active", r->active);
    json_out_member_string(j, "primary", g->candidates[0].name);
    json_out_member_string(j, "address",
                           r->active ? g->candidates[g->machine.active].address : NULL);
    json_out_key(j, "since");
    if (r->at)
        clock_format_wall(r->at, text);
    json_out_string(j, r->at ? text : NULL);
    json_out_member_count(j, "switches", r->number);
    json_out_member_string(j, "from", r->from);
    json_out_member_string(j, "reason", r->why);
    json_out_member_string(j, "trouble", r->outcome);
    put_bool(j, "in_doubt", r->doubt);
    put_bool(j, "escalated", r->told);
    json_out_member_count(j, "proposed", r->proposed);
    json_out_member_string(
        j, "automation",
        automation_text(automation_resolve(AUTOMATION_INHERIT, g->settings->automation,
                                           g->owner->world.automation)));
    json_out_member_string(j, "listen", g->settings->listen);
    if (g->relay)
        put_relay(g, j);
    put_candidates(g, j);
    json_out_object_end(j);
}

void fail_over_to_json(const struct fail_over *f, struct json_out *j) {
    json_out_array(j);
    for (size_t n = 0; n < f->count; n++)
        group_to_json(&f->groups[n], j);
    json_out_array_end(j);
}
