/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of checks: application/health+json, and the API's objects. */
#include "base/clock.h"
#include "base/str.h"
#include "health/check.h"
#include <stdio.h>

static void put_bool(struct json_out *j, const char *key, bool value) {
    json_out_key(j, key);
    json_out_bool(j, value);
}

/* In seconds. */
static void put_span(struct json_out *j, const char *key, int64_t span) {
    json_out_key(j, key);
    json_out_double(j, (double)(span / HARDY_MICROSECOND) / 1e6);
}

/* The same, always to the microsecond: the shortest digits of a double cost more than all the rest
 * of an answer that is asked for all the time. A wall clock that was set back makes no age. */
static void put_measured(struct json_out *j, const char *key, int64_t span) {
    char text[40];
    long long us = span > 0 ? span / HARDY_MICROSECOND : 0;
    snprintf(text, sizeof text, "%lld.%06lld", us / 1000000, us % 1000000);
    json_out_member_raw(j, key, text);
}

static void put_wall(struct json_out *j, const char *key, int64_t wall) {
    char text[40];
    clock_format_wall(wall, text);
    json_out_member_string(j, key, text);
}

static const char *output(const struct check_state *s) {
    return s && s->last_at ? s->message : "has not run yet";
}

/* --- health+json ------------------------------------------------------------------------------ */

/* What is not known, or not known any more, is never a pass. */
static const char *status_word(const struct check_settings *c, const struct check_state *s,
                               int64_t now) {
    if (s->level != LEVEL_UP)
        return c->critical ? "fail" : "warn";
    return s->last == CHECK_PASS && !s->flapping && !check_stale(s, c, now) ? "pass" : "warn";
}

static void put_check(struct json_out *j, const struct check_settings *c,
                      const struct check_state *s, int64_t now, int64_t wall) {
    json_out_key(j, c->name);
    json_out_array(j);
    json_out_object(j);
    json_out_member_string(j, "status", status_word(c, s, now));
    json_out_member_string(j, "componentType", check_kind_text(c->kind));
    if (s->last_at) {
        put_measured(j, "observedValue", s->took);
        json_out_member_string(j, "observedUnit", "s");
        put_wall(j, "time", s->last_at);
        put_measured(j, "age", wall - s->last_at);
    }
    put_bool(j, "critical", c->critical);
    put_bool(j, "flapping", s->flapping);
    put_bool(j, "stale", check_stale(s, c, now));
    json_out_member_string(j, "output", output(s));
    json_out_object_end(j);
    json_out_array_end(j);
}

static void put_checks(struct json_out *j, const struct health *h) {
    const struct check_settings *c;
    const struct check_state *s;
    int64_t now = loop_now(health_loop(h)), wall = loop_wall(health_loop(h));
    json_out_key(j, "checks");
    json_out_object(j);
    for (size_t i = 0; (s = health_at(h, i, &c)); i++)
        put_check(j, c, s, now, wall);
    json_out_object_end(j);
}

void health_report(const struct health *h, const char *objection, bool details, struct buf *out,
                   bool *ready) {
    struct json_out j;
    const struct check_settings *c;
    const struct check_state *s;
    size_t count = 0;
    bool failed = objection != NULL, warned = false;
    for (; h && (s = health_at(h, count, &c)); count++) {
        const char *word = status_word(c, s, loop_now(health_loop(h)));
        failed |= str_eq(word, "fail");
        warned |= str_eq(word, "warn");
    }
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "status", failed ? "fail" : warned ? "warn" : "pass");
    if (details && objection)
        json_out_member_string(&j, "output", objection);
    if (details && count > 0)
        put_checks(&j, h);
    json_out_object_end(&j);
    *ready = !failed;
}

/* --- the API ---------------------------------------------------------------------------------- */

static void put_settings(struct json_out *j, const struct check_settings *c) {
    struct buf target;
    buf_init(&target, (size_t)64 << 10);
    check_target(c, &target);
    json_out_member_string(j, "name", c->name);
    json_out_member_string(j, "kind", check_kind_text(c->kind));
    json_out_member_string(j, "target", target.data);
    put_bool(j, "critical", c->critical);
    put_span(j, "interval_s", c->interval);
    put_span(j, "timeout_s", c->timeout);
    put_span(j, "grace_s", c->grace);
    json_out_member_count(j, "failure_threshold", c->failure_threshold);
    json_out_member_count(j, "success_threshold", c->success_threshold);
    json_out_key(j, "failures_in_last");
    if (c->failures_in_last.off) {
        json_out_null(j);
    } else {
        json_out_object(j);
        json_out_member_count(j, "count", c->failures_in_last.count);
        json_out_member_count(j, "of", c->failures_in_last.of);
        json_out_object_end(j);
    }
    buf_free(&target);
}

static void put_known(struct json_out *j, const struct check_settings *c,
                      const struct check_state *s, int64_t now, int64_t wall) {
    put_wall(j, "since", s->since);
    put_bool(j, "flapping", s->flapping);
    json_out_key(j, "flap_share");
    json_out_double(j, check_flap_share(s));
    put_bool(j, "stale", check_stale(s, c, now));
    json_out_member_count(j, "failures", s->failures);
    json_out_member_count(j, "successes", s->successes);
    json_out_member_count(j, "unknowns", s->unknowns);
    if (s->last_at) {
        json_out_member_string(j, "last", check_result_text(s->last));
        put_bool(j, "graced", s->graced);
        put_wall(j, "at", s->last_at);
        put_span(j, "age_s", wall - s->last_at);
        put_span(j, "took_s", s->took);
    }
}

void check_to_json(struct json_out *j, const struct check_settings *c, const struct check_state *s,
                   int64_t now, int64_t wall) {
    json_out_object(j);
    put_settings(j, c);
    json_out_member_string(j, "level", check_level_text(s ? s->level : LEVEL_UNKNOWN));
    json_out_member_string(j, "message", output(s));
    if (s)
        put_known(j, c, s, now, wall);
    json_out_object_end(j);
}
