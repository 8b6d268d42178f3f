/* SPDX-License-Identifier: Apache-2.0 */
/* Healing: what the checks that are down lead to, and everything that keeps it from doing harm. */
#include "base/str.h"
#include "durable/pause.h"
#include "observe/exposition.h"
#include "store/store.h"
#include "town.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(name)                                                                                \
    "  - {name: " name ", command: [ask], interval: 1s, timeout: 500ms, grace: 0s, "               \
    "failure_threshold: 2, success_threshold: 1}\n"
#define HEAD                                                                                       \
    "automation: act\n"                                                                            \
    "checks:\n" CHECK("web") CHECK(                                                                \
        "api") "notify:\n"                                                                         \
               "  pager: {type: webhook, url: \"http://127.0.0.1:8080/page\", timeout: 2s}\n"
#define HEAL(head, keys)                                                                           \
    HEAD "heal:\n" head "  services:\n    web:\n      escalate: [pager]\n"                         \
         "      verify: {passes: 2, window: 10s}\n      pause: 4s\n" keys
#define RESTART(more)                                                                              \
    "      remedies: [{actions: [restart]}]\n"                                                     \
    "      actions: {restart: {run: [restart]" more "}}\n"

static struct town town;

static int teardown(void **state) {
    (void)state;
    town_end(&town);
    return 0;
}

/* --- pure ------------------------------------------------------------------------------------- */

static void levels_are_shares_of_what_is_known(void **state) {
    (void)state;
    static const struct {
        size_t passing, failing;
        enum heal_level level;
    } rows[] = {
        {0, 0, HEAL_HEALTHY},   {5, 0, HEAL_HEALTHY},   {3, 1, HEAL_DEGRADED},
        {2, 1, HEAL_UNHEALTHY}, {1, 1, HEAL_UNHEALTHY}, {9, 3, HEAL_DEGRADED},
        {8, 3, HEAL_UNHEALTHY}, {4, 5, HEAL_CRITICAL},  {0, 1, HEAL_CRITICAL},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
        assert_int_equal(heal_level_of(rows[n].passing, rows[n].failing), rows[n].level);
    memset(&town, 0, sizeof town);
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
}

static const char ladder[] = "checks:\n" CHECK("db") CHECK("queue") CHECK("page") CHECK(
    "disk") "  - {name: room, memory_below: 0.9}\n"
            "  - {name: port, tcp: \"127.0.0.1:1\"}\n"
            "supervise: {shop: {}, x: {}}\n"
            "fail_over: {shop: {}, x: {}}\n"
            "heal:\n"
            "  services:\n"
            "    shop:\n"
            "      checks: [db, queue, page, disk]\n"
            "      remedies:\n"
            "        - {check: queue, actions: [scale_up]}\n"
            "        - {actions: [reload, scale_up]}\n"
            "        - {from: unhealthy, actions: [fail-over]}\n"
            "        - {from: critical, actions: [restart]}\n"
            "      sources: {replicas: {command: [count]}}\n"
            "      actions:\n"
            "        scale_up: {run: [scale], scale: {source: replicas, by: 2, min: 1, max: 5}}\n"
            "        scale_down: {http: {url: \"http://127.0.0.1:1/\"}, scale: {source: replicas, "
            "by: -1, "
            "min: 2, max: 5}}\n"
            "        reload: {reload: shop}\n"
            "        fail-over: {fail_over: shop}\n"
            "        restart: {restart: shop}\n"
            "    memory: {checks: [room]}\n"
            "    network: {checks: [port, db]}\n"
            "    careful:\n"
            "      checks: [db]\n"
            "      enable_auto_restart: false\n"
            "      enable_auto_failover: false\n"
            "      remedies: [{actions: [fail-over, restart, reload]}]\n"
            "      actions: {fail-over: {fail_over: x}, restart: {restart: x}, reload: {reload: "
            "x}}\n";

static void plan(const struct settings *s, const char *service, const char *failing,
                 const char *passing, const char *expected, const char *cause_part) {
    char evidence[600], cause[200];
    struct incident i = {.evidence = evidence};
    struct buf out;
    size_t used = (size_t)snprintf(evidence, sizeof evidence,
                                   "{\"components\":{\"checks\":{\"data\":{\"results\":{");
    const char *lists[] = {failing, passing};
    bool first = true;
    for (int n = 0; n < 2; n++)
        for (const char *at = lists[n]; *at; at += strcspn(at, " "), at += *at == ' ') {
            used +=
                (size_t)snprintf(evidence + used, sizeof evidence - used,
                                 "%s\"%.*s\":{\"result\":\"%s\",\"message\":\"m\"}",
                                 first ? "" : ",", (int)strcspn(at, " "), at, n ? "pass" : "fail");
            first = false;
        }
    snprintf(evidence + used, sizeof evidence - used, "}}}}}");
    buf_init(&out, 1000);
    assert_int_equal(heal_analyse(&i, service_of(s, service), &s->checks, cause, &out), HARDY_OK);
    assert_string_equal(out.data ? out.data : "", expected);
    if (!strstr(cause, cause_part))
        fail_msg("`%s` does not say `%s`", cause, cause_part);
    buf_free(&out);
}

static void what_is_down_and_how_much_of_it_makes_the_plan(void **state) {
    struct settings s;
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    settings_read(&s, ladder);
    plan(&s, "shop", "page", "db queue disk", "reload scale_up", "degraded: page is down, 1 of 4");
    plan(&s, "shop", "queue", "db page disk", "scale_up reload", "degraded: queue is down");
    plan(&s, "shop", "page disk", "db queue", "reload scale_up fail-over", "unhealthy: ");
    plan(&s, "shop", "db queue page", "disk", "scale_up reload fail-over restart",
         "critical: db, queue, page are down, 3 of 4");
    /* What could not run does not count. */
    plan(&s, "shop", "", "db", "", "no check that could run is down");
    /* Without remedies, what suits. */
    plan(&s, "memory", "room", "", "clear_cache", "critical");
    plan(&s, "network", "port db", "", "reset_connections", "critical");
    /* Two switches. */
    plan(&s, "careful", "db", "", "reload", "critical");
    settings_free(&s);
}

static void how_many_there_are_to_be_comes_from_fresh_evidence(void **state) {
    struct settings s;
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    settings_read(&s, ladder);
    const struct action_settings *up = incident_action(service_of(&s, "shop"), "scale_up");
    const struct action_settings *down = incident_action(service_of(&s, "shop"), "scale_down");
    int64_t from, to;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
#define E(data, more) "{\"components\":{\"replicas\":{\"success\":true,\"data\":" data more "}}}"
    assert_int_equal(action_scale(up, E("2", ""), &from, &to, &error), HARDY_OK);
    assert_int_equal(from, 2);
    assert_int_equal(to, 4);
    assert_int_equal(action_scale(up, E("\"4\\n\"", ""), &from, &to, &error), HARDY_OK);
    assert_int_equal(to, 5);
    assert_int_equal(action_scale(up, E("5", ""), &from, &to, &error), HARDY_E_FULL);
    assert_string_equal(error.message, "there are 5 already, and 5 is the most");
    assert_int_equal(action_scale(down, E("3", ""), &from, &to, &error), HARDY_OK);
    assert_int_equal(to, 2);
    assert_int_equal(action_scale(down, E("2", ""), &from, &to, &error), HARDY_E_FULL);
    /* Cached, missing, no number: nobody knows. */
    assert_int_equal(action_scale(up, E("2", ",\"degraded\":true"), &from, &to, &error),
                     HARDY_E_NOT_FOUND);
    assert_int_equal(action_scale(up, E("2.5", ""), &from, &to, &error), HARDY_E_NOT_FOUND);
    assert_int_equal(action_scale(up, E("\"many\"", ""), &from, &to, &error), HARDY_E_NOT_FOUND);
    assert_int_equal(action_scale(up, "{}", &from, &to, &error), HARDY_E_NOT_FOUND);
    assert_int_equal(action_scale(up, NULL, &from, &to, &error), HARDY_E_NOT_FOUND);
    settings_free(&s);
}

static void defaults_do_no_harm(void **state) {
    struct settings s;
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    settings_read(&s, ladder);
    const struct service_settings *shop = service_of(&s, "shop");
    assert_true(shop->heals && shop->restarts && shop->fails_over);
    assert_int_equal(s.incidents.automation, AUTOMATION_OBSERVE);
    assert_int_equal(s.incidents.healing.max_runs, 10);
    assert_int_equal(s.incidents.healing.per, HARDY_HOUR);
    assert_int_equal(shop->max_attempts, 5);
    assert_int_equal(shop->escalate_after, 15 * HARDY_MINUTE);
    assert_int_equal(shop->gather_deadline, 20 * HARDY_SECOND);
    assert_string_equal(incident_severity_text(shop->severity), "high");
    assert_int_equal(incident_action(shop, "restart")->cooldown, HARDY_MINUTE);
    assert_int_equal(incident_action(shop, "scale_up")->cooldown, 5 * HARDY_MINUTE);
    const struct action_settings *lower = incident_action(shop, "lower_concurrency");
    assert_true(lower->lowers && lower->lower.to == 0.5 && !lower->lower.guard);
    assert_int_equal(lower->lower.lasts, 5 * HARDY_MINUTE);
    assert_string_equal(incident_action(shop, "clear_cache")->clear_cache, "");
    settings_free(&s);
}

static void mistakes_are_told_with_their_place(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
#define BAD(keys) HEAD "heal:\n  services:\n    web:\n" keys
    static const struct {
        const char *yaml, *message;
    } rows[] = {
        {BAD("      remedies: [{check: db, actions: [clear_cache]}]\n"),
         "remedy 1 of `web` is for the check `db`, which is not one of its checks"},
        {BAD("      remedies: [{actions: [fix]}]\n"),
         "remedy 1 of `web` names the action `fix`, which is not under actions"},
        {BAD("      checks: [nothing]\n"), "names the check `nothing`"},
        {BAD("      actions: {a: {run: [x], restart: y}}\n"), "several kinds"},
        {BAD("      actions: {a: {probe: [x]}}\n"), "no kind"},
        {BAD("      actions: {a: {http: {url: \"ftp://x\"}}}\n"), "action `a`"},
        {BAD("      actions: {a: {http: {url: \"http://127.0.0.1/\", method: FETCH}}}\n"), "FETCH"},
        {BAD("      actions: {a: {http: {url: \"http://127.0.0.1/\", headers: [x]}}}\n"),
         "header `x` is not \"Name: value\""},
        {BAD("      actions: {a: {run: [x], scale: {source: n, max: 3}}}\n"),
         "scales by `n`, which is not under sources"},
        {BAD("      sources: {n: {command: [x]}}\n"
             "      actions: {a: {run: [x], scale: {source: n, max: 3, by: 0}}}\n"),
         "scales by nothing"},
        {BAD("      sources: {n: {command: [x]}}\n"
             "      actions: {a: {run: [x], scale: {source: n, max: 3, min: 4}}}\n"),
         "min 4 is above max 3"},
        {BAD("      sources: {n: {command: [x]}}\n"
             "      actions: {a: {restart: x, scale: {source: n, max: 3}}}\n"),
         "scale goes with run or http"},
        {BAD("      actions: {a: {lower_concurrency: {guard: g, to: 2, lasts: 1m}}}\n"), "to"},
        {BAD("      actions: {a: {reset_connections: up}, b: {clear_cache: \"p\"}}\n"
             "      ask_for: 0s\n"),
         "ask_for"},
        {BAD("      escalate_after: 8d\n"), "escalate_after"},
        {HEAD "heal: {max_runs: 0}\n", "max_runs"},
        {HEAD "heal: {per: 1s}\n", "per"},
        {HEAD "incidents: {services: {web: {check: web}}}\nheal: {services: {web: {}}}\n",
         "there is a service `web` under incidents: too"},
        {HEAD "incidents: {services: {x: {check: web, checks: [web]}}}\n", "both check and checks"},
        {HEAD "incidents: {services: {x: {}}}\n", "has no check"},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        hardy_error error;
        if (settings_try(rows[n].yaml, &error) == HARDY_OK ||
            !strstr(error.message, rows[n].message))
            fail_msg("row %zu: %s: %s", n, error.where, error.message);
    }
}

/* --- in the town -------------------------------------------------------------------------------
 */

static void down_healed_and_the_result_is_remembered(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 5 * HARDY_SECOND, false);
    town_wait_told(&town, l, "resolved: restart helped");
    IN_ORDER(l, "opened: ", "gathered: 0 of 0 sources",
             "analysed: critical: web is down, 1 of 1; remedies: restart",
             "acting: restart, attempt 1 of 5", "remedy: restart done",
             "verified: ", "resolved: restart helped");
    struct past past;
    assert_int_equal(past_load(town.inner, "web", &past, NULL), HARDY_OK);
    assert_int_equal(past.result_count, 1);
    assert_int_equal(past.results[0].healed, 1);
    assert_int_equal(past.results[0].not_healed, 0);
    past_free(&past);
    assert_int_equal(town.pager.count, 0);
}

static void the_second_time_waits_for_the_cooldown(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", cooldown: 5m")), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "resolved: ");
    town_break(&town, 0, false);
    town_pass(&town, 2 * HARDY_MINUTE);
    assert_int_equal(town.restarts, 1);
    IN_ORDER(l, "resolved: ", "held: restart has just been run; it may be again in ");
    /* A new hardy does not forget it. */
    town_kill(&town, 0, false);
    town_pass(&town, 2 * HARDY_MINUTE);
    assert_int_equal(town.restarts, 1);
    town_pass(&town, 2 * HARDY_MINUTE);
    assert_int_equal(town.restarts, 2);
    assert_int_equal(town_incident(&town)->state, INCIDENT_RESOLVED);
}

static void all_services_together_have_a_limit(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("  max_runs: 2\n  per: 1h\n", RESTART(", cooldown: 0s")), NULL);
    struct life *l = town_watch(&town, false, NULL);
    for (int n = 0; n < 3; n++) {
        town_break(&town, 0, false);
        town_pass(&town, 2 * HARDY_MINUTE);
    }
    assert_int_equal(town.restarts, 2);
    assert_int_equal(
        told(l, "escalated: 2 remedies have run within 1h over all services, as many as may"), 1);
}

/* A disk that is full for a while: what was right when it was decided is looked at again. */
static void what_could_not_be_recorded_is_decided_anew(void **state) {
    struct past past;
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "analysed: ");
    town.refuse = 5;
    town_wait_told(&town, l, "held up: ");
    town.up = true;
    town_wait_told(&town, l, "resolved: recovered by itself");
    assert_int_equal(town.restarts, 0);
    assert_int_equal(told(l, "decided anew: restart was not begun for "), 1);
    /* And it counts as if it had never been. */
    assert_int_equal(past_load(town.inner, "web", &past, NULL), HARDY_OK);
    assert_int_equal(past.count, 0);
    past_free(&past);
}

static void while_paused_nothing_is_touched_and_nobody_woken(void **state) {
    (void)state;
    struct pause pause = {
        .target = (char[]){"web"}, .who = (char[]){"root"}, .reason = (char[]){"new disks"}};
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    assert_int_equal(pause_set(town.inner, &pause, HARDY_NEVER, NULL), HARDY_OK);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_pass(&town, HARDY_HOUR);
    assert_int_equal(town.restarts, 0);
    assert_int_equal(town.pager.count, 0);
    assert_int_equal(told(l, "held: paused by root"), 1);
    assert_int_equal(
        pause_clear(town.inner, "web", "root", loop_wall(town.loop), HARDY_NEVER, NULL), HARDY_OK);
    town_wait_told(&town, l, "resolved: restart helped");
    assert_int_equal(town.restarts, 1);
    /* It looked anew before it acted: what was found an hour ago is not believed. */
    assert_true(told(l, "gathered: ") >= 2);
}

static void one_remedy_can_be_paused_alone_and_what_gets_well_meanwhile_is(void **state) {
    (void)state;
    struct pause pause = {.target = (char[]){"web/restart"}, .who = (char[]){"root"}};
    town_begin_as(&town, HEAL("", RESTART("")), NULL);
    assert_int_equal(pause_set(town.inner, &pause, HARDY_NEVER, NULL), HARDY_OK);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(told(l, "held: paused by root"), 1);
    town_break(&town, 0, true);
    town_wait_told(&town, l, "resolved: recovered by itself");
    assert_null(town_incident(&town)->waits);
    assert_int_equal(town.restarts, 0);
    assert_int_equal(town.pager.count, 0);
}

static void say(enum signal_what what, const char *who) {
    const struct incident *i = town_incident(&town);
    char *key = incident_remedy_key(i);
    const struct signal signal = {.what = what,
                                  .who = (char *)(uintptr_t)who,
                                  .at = loop_wall(town.loop),
                                  .fence = i->round + 1};
    assert_int_equal(signal_send(town.inner, key, &signal, HARDY_NEVER, NULL), HARDY_OK);
    free(key);
}

static void asked_it_waits_for_a_person_and_then_acts(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", automation: ask")), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "asked: may restart be run?");
    town_pass(&town, 10 * HARDY_MINUTE);
    assert_int_equal(town.restarts, 0);
    assert_int_equal(town.pager.count, 1); /* once */
    town_kill(&town, 0, false);            /* the question outlives hardy */
    town_pass(&town, HARDY_MINUTE);
    l = &town.lives[town.life_count - 1];
    assert_int_equal(town.pager.count, 1);
    say(SIGNAL_APPROVE, "ada");
    town_wait_told(&town, l, "resolved: ");
    IN_ORDER(l, "approved: restart by ada", "acting: restart", "resolved: restart helped");
    assert_int_equal(town.restarts, 1);
    town_pass(&town, HARDY_MINUTE);
    assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
}

static void refused_or_unanswered_it_is_a_persons(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", automation: ask") "      ask_for: 20m\n"), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "asked: ");
    say(SIGNAL_REFUSE, "ada");
    town_wait_told(&town, l, "escalated: restart was refused by ada");
    town_break(&town, 0, true);
    town_wait_told(&town, l, "resolved: well again, after a person was told");
    town_break(&town, 0, false);
    town_wait_told(&town, l, "escalated: nobody has approved restart within 20m");
    assert_int_equal(town.restarts, 0);
}

static void what_is_approved_is_not_run_when_it_is_well_again(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", automation: ask")), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "asked: ");
    town.up = true;
    say(SIGNAL_APPROVE, "ada");
    town_wait_told(&town, l, "resolved: ");
    assert_int_equal(town.restarts, 0);
}

static void observing_it_proposes_and_leaves_it_to_a_person(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART("") "      automation: observe\n"), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "proposed: restart");
    IN_ORDER(l, "proposed: restart", "escalated: automation is observe; would have run restart");
    town_pass(&town, HARDY_HOUR);
    assert_int_equal(told(l, "proposed: "), 1);
    assert_int_equal(town.restarts, 0);
}

static void when_it_takes_long_people_are_told_and_it_goes_on(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", cooldown: 10m") "      escalate_after: 2m\n"), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "resolved: ");
    town_break(&town, 0, false);
    town_wait_told(&town, l, "warned: not well after 2m; hardy goes on");
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town.pager.count, 1);
    assert_string_equal(pager_text(&town.pager, 0, "action"), "trigger");
    town_pass(&town, 10 * HARDY_MINUTE);
    assert_int_equal(town.restarts, 2);
    assert_int_equal(told(l, "warned: "), 1);
    assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
}

static void what_hardy_does_itself_is_done_once_under_its_key(void **state) {
    (void)state;
    town_begin_as(&town,
                  HEAL("", "      remedies: [{actions: [clear_cache, back]}]\n"
                           "      actions: {back: {restart: web}}\n"
                           "supervise: {web: {command: [web]}}\n"),
                  NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "remedy: back done: did back");
    assert_int_equal(town.inside_count, 2);
    assert_string_equal(town.inside_action, "back");
    assert_non_null(strstr(town.inside_key, "/2.back"));
    IN_ORDER(l, "remedy: clear_cache done: did clear_cache", "not verified: ", "acting: back");
    struct past past;
    town.up = true;
    town_wait_told(&town, l, "resolved: ");
    assert_int_equal(past_load(town.inner, "web", &past, NULL), HARDY_OK);
    assert_int_equal(past.result_count, 2);
    assert_int_equal(past.results[0].not_healed, 1);
    assert_int_equal(past.results[1].healed, 1);
    past_free(&past);
}

static void a_restart_does_not_begin_the_count_anew(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", cooldown: 0s") "      max_attempts: 3\n"), NULL);
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND}; /* succeeds, and does not help */
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_pass(&town, 2 * HARDY_HOUR);
    assert_int_equal(town.restarts, 3);
    assert_int_equal(told(l, "escalated: 3 attempts did not help"), 1);
    assert_int_equal(town.pager.count, 1);
    /* It is still watched, and what gets well is told to who was woken. */
    town_break(&town, 0, true);
    town_pass(&town, HARDY_MINUTE);
    assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
}

/* Answers of the check's turns, `span` each, from now on. */
static void go_up_and_down(int64_t span, int turns) {
    for (int n = 0; n < turns; n++)
        town_break(&town, n * span, n % 2 == 1);
}

#define FLAPPY(threshold)                                                                          \
    "automation: act\n"                                                                            \
    "checks:\n"                                                                                    \
    "  - {name: web, command: [ask], interval: 1s, timeout: 500ms, grace: 0s, "                    \
    "failure_threshold: " threshold                                                                \
    ", success_threshold: 1, failures_in_last: off, flap: {high: 0.3, low: 0.15}}\n"               \
    "notify:\n"                                                                                    \
    "  pager: {type: webhook, url: \"http://127.0.0.1:8080/page\", timeout: 2s}\n"                 \
    "heal:\n  services:\n    web:\n      escalate: [pager]\n"                                      \
    "      verify: {passes: 2, window: 10s}\n      pause: 4s\n" RESTART("")

static void what_flaps_is_told_once_and_not_touched(void **state) {
    (void)state;
    town_begin_as(&town, FLAPPY("3"), NULL);
    struct life *l = town_watch(&town, false, NULL);
    go_up_and_down(2 * HARDY_SECOND, 60);
    town_pass(&town, HARDY_MINUTE);
    IN_ORDER(l, "opened: ", "web flaps: it changed between good and bad ",
             " times within its last 21 answers",
             "escalated: while it flaps, a repair would only add to it");
    assert_true(town_incident(&town)->flaps);
    /* It goes on, for longer than a repair would wait, and through a new hardy. */
    town_kill(&town, 0, false);
    town_pass(&town, 50 * HARDY_SECOND);
    assert_int_equal(town_incidents(&town), 1);
    assert_int_equal(town.pager.count, 1);
    assert_string_equal(pager_text(&town.pager, 0, "action"), "trigger");
    assert_non_null(strstr(pager_text(&town.pager, 0, "summary"), "web flaps: "));
    /* Up is not enough: it has to be steady. */
    town.up = true;
    l = &town.lives[town.life_count - 1];
    town_pass(&town, 20 * HARDY_SECOND);
    assert_int_equal(town_incident(&town)->state, INCIDENT_ESCALATED);
    town_wait_told(&town, l, "resolved: steady and up again");
    town_pass(&town, HARDY_MINUTE);
    assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
    assert_int_equal(town.restarts, 0);
    /* An outage afterwards is one like any other. */
    town_break(&town, 0, false);
    town_wait_told(&town, l, "resolved: restart helped");
    assert_int_equal(town.restarts, 1);
}

static void what_is_mended_when_it_begins_to_flap_is_mended_to_its_end(void **state) {
    (void)state;
    town_begin_as(&town, FLAPPY("2"), NULL);
    town.restart = (struct remedy_plan){.takes = 30 * HARDY_SECOND};
    struct life *l = town_watch(&town, false, NULL);
    go_up_and_down(3 * HARDY_SECOND, 60);
    town_wait_told(&town, l, "acting: restart");
    town_pass(&town, 4 * HARDY_MINUTE);
    IN_ORDER(l, "opened: ", "acting: restart", "remedy: restart done",
             "resolved: ", "opened: ", "web flaps: ", "escalated: while it flaps");
    assert_int_equal(town.restarts, 1);
    assert_int_equal(town_incidents(&town), 2);
}

static void in_a_pause_nobody_hears_of_flapping(void **state) {
    (void)state;
    struct pause pause = {.target = (char[]){"web"}, .who = (char[]){"root"}};
    town_begin_as(&town, FLAPPY("3"), NULL);
    assert_int_equal(pause_set(town.inner, &pause, HARDY_NEVER, NULL), HARDY_OK);
    struct life *l = town_watch(&town, false, NULL);
    go_up_and_down(2 * HARDY_SECOND, 60);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town_incidents(&town), 0);
    assert_int_equal(
        pause_clear(town.inner, "web", "root", loop_wall(town.loop), HARDY_NEVER, NULL), HARDY_OK);
    town_wait_told(&town, l, "escalated: while it flaps");
    assert_int_equal(town.pager.count, 1);
    assert_int_equal(town.restarts, 0);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void metric(const char *line) {
    struct exposition x;
    struct buf text;
    buf_init(&text, 1 << 20);
    exposition_begin(&x, &text);
    incident_write_metrics(town.inner, &x);
    if (!strstr(text.data, line))
        fail_msg("no line %s in\n%s", line, text.data);
    buf_free(&text);
}

static void incidents_and_remedies_are_counted_over_restarts(void **state) {
    (void)state;
    town_begin_as(&town, HEAL("", RESTART(", cooldown: 0s") "      max_attempts: 2\n"), NULL);
    struct life *l = town_watch(&town, false, NULL);
    town_break(&town, 0, false);
    town_wait_told(&town, l, "resolved: ");
    metric("\nhardy_incidents_total{service=\"web\",state=\"opened\"} 1\n");
    metric("\nhardy_incidents_total{service=\"web\",state=\"resolved\"} 1\n");
    metric("\nhardy_incidents_total{service=\"web\",state=\"escalated\"} 0\n");
    metric("\nhardy_incidents_open{service=\"web\"} 0\n");
    metric("\nhardy_heal_attempts_total{service=\"web\",action=\"restart\",result=\"healed\"} 1\n");
    town_kill(&town, 0, false);
    town_pass(&town, HARDY_SECOND);
    l = &town.lives[town.life_count - 1];
    /* One that fails has not helped, and neither has one that changes nothing. */
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND, .code = 1};
    town_break(&town, 0, false);
    town_wait_told(&town, l, "remedy: restart failed");
    town.restart.code = 0;
    town_wait_told(&town, l, "escalated: ");
    metric("\nhardy_incidents_total{service=\"web\",state=\"opened\"} 2\n");
    metric("\nhardy_incidents_total{service=\"web\",state=\"escalated\"} 1\n");
    metric("\nhardy_incidents_open{service=\"web\"} 1\n");
    metric("\nhardy_heal_attempts_total{service=\"web\",action=\"restart\",result=\"not_healed\"} "
           "2\n");
    town_break(&town, 0, true);
    town_wait_told(&town, l, "resolved: ");
    metric("\nhardy_incidents_total{service=\"web\",state=\"resolved\"} 2\n");
    metric("\nhardy_incidents_open{service=\"web\"} 0\n");
}

int main(void) {
#define T(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        T(levels_are_shares_of_what_is_known),
        T(what_is_down_and_how_much_of_it_makes_the_plan),
        T(how_many_there_are_to_be_comes_from_fresh_evidence),
        T(defaults_do_no_harm),
        T(mistakes_are_told_with_their_place),
        T(down_healed_and_the_result_is_remembered),
        T(the_second_time_waits_for_the_cooldown),
        T(all_services_together_have_a_limit),
        T(what_could_not_be_recorded_is_decided_anew),
        T(while_paused_nothing_is_touched_and_nobody_woken),
        T(one_remedy_can_be_paused_alone_and_what_gets_well_meanwhile_is),
        T(asked_it_waits_for_a_person_and_then_acts),
        T(refused_or_unanswered_it_is_a_persons),
        T(what_is_approved_is_not_run_when_it_is_well_again),
        T(observing_it_proposes_and_leaves_it_to_a_person),
        T(when_it_takes_long_people_are_told_and_it_goes_on),
        T(what_hardy_does_itself_is_done_once_under_its_key),
        T(a_restart_does_not_begin_the_count_anew),
        T(what_flaps_is_told_once_and_not_touched),
        T(what_is_mended_when_it_begins_to_flap_is_mended_to_its_end),
        T(in_a_pause_nobody_hears_of_flapping),
        T(incidents_and_remedies_are_counted_over_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
