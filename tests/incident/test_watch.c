/* SPDX-License-Identifier: Apache-2.0 */
/* Watching and handling, in virtual time: what is done, in which order, how often, and what is told
 * to whom, with remedies that fail, stores that are full, people who are slow, and kills. */
#include "base/str.h"
#include "store/store.h"
#include "town.h"
#include "work/resolve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESTART                                                                                    \
    "      rules: [{name: dead, when: \"!evidence.look.running\", cause: \"web is dead\", "        \
    "actions: "                                                                                    \
    "[restart]}]\n"
#define ACTION(more) "      actions: {restart: {run: [restart]" more "}}\n"
#define PLAIN RESTART ACTION("") "      max_attempts: 3\n      pause: 4s\n"

static struct town town;

static int teardown(void **state) {
    (void)state;
    town_end(&town);
    return 0;
}

static bool count_event(void *ctx, const struct store_row *row) {
    size_t *counts = ctx;
    counts[0]++;
    counts[1] += strstr(row->value, "\"acting\"") != NULL;
    counts[2] += row->expires == 0;
    return true;
}

/* --- the usual -------------------------------------------------------------------------------- */

static void down_restarted_verified_resolved(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    struct life *l = town_watch(&town, true, NULL);
    town_break(&town, 5 * HARDY_SECOND, false);
    town_wait(&town, l);
    assert_int_equal(l->error, HARDY_OK);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    IN_ORDER(l, "up: fine", "down: exit code 1: no answer", "opened: inc-",
             "critical: web is down: exit code 1: no answer", "gathered: 1 of 1 sources",
             "analysed: web is dead (rule dead, confidence 0.50)",
             "acting: restart, attempt 1 of 3", "remedy: restart started",
             "remedy: restart done in 3s", "verified: 2 good answers in a row",
             "resolved: restart helped, ");
    assert_int_equal(town.restarts, 1);
    assert_int_equal(town.pager.count, 0);
    const struct incident *i = town_incident(&town);
    assert_int_equal(i->state, INCIDENT_RESOLVED);
    assert_string_equal(i->cause, "web is dead");
    assert_string_equal(i->owner, "hardy test, pid 0");
    assert_int_equal(i->round, 1);
    assert_false(i->told);
    assert_true(i->ended > i->created);
    /* What happened is kept, and not for ever. */
    size_t counts[3] = {0};
    assert_int_equal(
        store_scan(town.inner, "event", i->id, NULL, SIZE_MAX, count_event, counts, NULL),
        HARDY_OK);
    assert_int_equal(counts[0], 8);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 0);
    struct store_row row;
    assert_int_equal(store_get(town.inner, "incident", i->id, &row, NULL), HARDY_OK);
    assert_true(row.expires == i->ended + 90 * HARDY_DAY);
    store_row_free(&row);
}

static void a_remedy_that_fails_is_tried_with_growing_pauses_then_a_person_is_told(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND, .code = 7};
    int64_t began = loop_now(town.loop);
    struct life *l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_ESCALATED);
    IN_ORDER(l, "acting: restart, attempt 1 of 3",
             "remedy: restart failed after 1s: exit code 7: nothing to be done ... at all; next "
             "attempt in 4s",
             "acting: restart, attempt 2 of 3", "next attempt in 8s",
             "acting: restart, attempt 3 of 3", "restart failed after 1s: exit code 7",
             "escalated: 3 attempts did not help; telling pager", "paged: pager");
    assert_int_equal(town.restarts, 3);
    assert_true(loop_now(town.loop) - began >= 15 * HARDY_SECOND); /* 3 x 1 s, 4 s, 8 s */
    /* The page is in the batch that escalates, and arrives. */
    assert_int_equal(town.batches_with_page_and_state, 1);
    assert_int_equal(town.pages_alone, 0);
    assert_int_equal(town.pager.count, 1);
    assert_string_equal(pager_text(&town.pager, 0, "action"), "trigger");
    assert_string_equal(pager_text(&town.pager, 0, "summary"),
                        "web: web is dead; 3 attempts did not help");
    assert_string_equal(pager_text(&town.pager, 0, "severity"), "critical");
    assert_string_equal(pager_text(&town.pager, 0, "dedup_key"), town_incident(&town)->id);
    assert_false(l->unsent);
}

static void what_does_not_help_is_followed_by_the_next_action(void **state) {
    (void)state;
    town_begin(&town,
               "      rules: [{name: dead, when: \"true\", cause: c, actions: [restart, reset]}]\n"
               "      actions: {restart: {run: [restart]}, reset: {run: [reset]}}\n"
               "      max_attempts: 4\n      pause: 1s\n",
               NULL);
    town.up = false;
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND};
    struct life *l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    IN_ORDER(l, "acting: restart, attempt 1 of 4", "restart done in 1s",
             "not verified: no 2 good answers in a row within 10s, but: exit code 1: no answer; "
             "next attempt in 1s",
             "acting: reset, attempt 2 of 4", "reset done in 1s",
             "resolved: reset helped at attempt 2");
    assert_int_equal(town.restarts, 1);
    assert_int_equal(town.resets, 1);
}

static void without_a_rule_nothing_is_touched_and_a_person_is_told(void **state) {
    (void)state;
    town_begin(&town,
               "      rules: [{name: never, when: \"evidence.look.running\", cause: c, actions: "
               "[restart]}]\n" ACTION(""),
               NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_ESCALATED);
    IN_ORDER(l, "analysed: no rule explains it", "escalated: no rule explains it; telling pager");
    assert_int_equal(town.restarts, 0);
}

static void a_rule_that_cannot_be_evaluated_is_told(void **state) {
    (void)state;
    town_begin(&town,
               "      rules:\n"
               "        - {name: odd, when: \"evidence.look.running > 3\", cause: c}\n"
               "        - {name: dead, when: \"true\", cause: c, actions: [restart]}\n" ACTION(""),
               NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    IN_ORDER(l, "rule error: rule odd: ", "analysed: c (rule dead");
}

static void observe_tells_what_it_would_have_done(void **state) {
    (void)state;
    town_begin(&town, PLAIN "      automation: observe\n", NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_ESCALATED);
    assert_string_equal(pager_text(&town.pager, 0, "summary"),
                        "web: web is dead; automation is observe; would have run restart");
    assert_int_equal(town.restarts, 0);
}

/* --- never worse than nothing ----------------------------------------------------------------- */

static void what_recovers_by_itself_is_not_touched(void **state) {
    (void)state;
    /* From the moment it is down until the remedy would begin. */
    for (int64_t at = 0; at <= 1400; at += 200) {
        town_begin(&town, PLAIN, NULL);
        town.up = false;
        town.look_takes = HARDY_SECOND;
        struct life *l = town_watch(&town, true, NULL);
        town_wait_told(&town, l, "down: ");
        town_break(&town, at * HARDY_MILLISECOND, true);
        town_wait(&town, l);
        assert_int_equal(l->state, INCIDENT_RESOLVED);
        if (town.restarts == 0) {
            assert_int_equal(told(l, "resolved: recovered by itself, 2 good answers in a row"), 1);
            assert_int_equal(town.pager.count, 0);
        } else {
            assert_true(at >= 1000); /* it was asked before */
        }
        town_end(&town);
    }
    town_begin(&town, PLAIN, NULL);
}

static void a_flicker_is_not_a_recovery(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait_told(&town, l, "analysed: ");
    town.up = true;
    town_break(&town, 500 * HARDY_MILLISECOND, false); /* one good answer, then none */
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    assert_int_equal(town.restarts, 1);
    IN_ORDER(l, "acting: restart, attempt 1 of 3");
}

static void nobody_is_woken_for_what_is_well_again(void **state) {
    (void)state;
    town_begin(&town, "      rules: []\n", NULL);
    town.up = false;
    town.look_takes = HARDY_SECOND;
    struct life *l = town_watch(&town, true, NULL);
    town_wait_told(&town, l, "opened: ");
    town.up = true;
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    assert_int_equal(town.pager.count, 0);
}

static void a_remedy_runs_no_more_often_than_it_may(void **state) {
    (void)state;
    town_begin(&town, RESTART ACTION(", max_runs: 2, per: 1h") "      max_attempts: 3\n", NULL);
    struct life *l = town_watch(&town, false, NULL);
    for (int n = 0; n < 3; n++) {
        town_break(&town, 0, false);
        town_pass(&town, 5 * HARDY_MINUTE);
    }
    assert_int_equal(town.restarts, 2);
    assert_int_equal(told(l, "resolved: restart helped"), 2);
    assert_int_equal(told(l, "escalated: restart has run 2 times within 1h, as often as it may"),
                     1);
    assert_int_equal(town.pager.count, 1);
    /* After its time it may again; it remembers over a restart of the program. */
    town_stop(&town, l);
    town.up = true;
    l = town_watch(&town, false, NULL);
    town_pass(&town, HARDY_HOUR);
    town_break(&town, 0, false);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town.restarts, 3);
}

/* --- people ----------------------------------------------------------------------------------- */

static void with_a_person_it_is_left_alone_until_it_has_been_up(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND, .code = 7};
    struct life *l = town_watch(&town, false, NULL);
    town_pass(&town, 2 * HARDY_HOUR);
    assert_int_equal(town_incidents(&town), 1);
    assert_int_equal(town.restarts, 3);
    assert_int_equal(town.pager.count, 1);
    /* Another life does not begin anew either. */
    town_stop(&town, l);
    l = town_watch(&town, false, NULL);
    town_pass(&town, HARDY_HOUR);
    assert_int_equal(town_incidents(&town), 1);
    assert_int_equal(town.pager.count, 1);
    /* And --once says so. */
    struct life *once = town_watch(&town, true, NULL);
    town_wait(&town, once);
    assert_int_equal(once->state, INCIDENT_ESCALATED);
    assert_int_equal(told(once, "is with a person, for 3h"), 1);
    /* One good answer is not enough; then the people are told. */
    town_break(&town, 0, true);
    town_break(&town, 900 * HARDY_MILLISECOND, false);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town_incident(&town)->state, INCIDENT_ESCALATED);
    town_break(&town, 0, true);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town_incident(&town)->state, INCIDENT_RESOLVED);
    assert_int_equal(told(l, "resolved: well again, after a person was told"), 1);
    assert_int_equal(town.pager.count, 2);
    assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
    assert_string_equal(pager_text(&town.pager, 1, "dedup_key"),
                        pager_text(&town.pager, 0, "dedup_key"));
    /* The next outage is a new incident. */
    town_break(&town, 0, false);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town_incidents(&town), 2);
}

static void in_doubt_a_person_is_asked_and_heard(void **state) {
    static const struct {
        enum resolve_how how;
        int restarts;
        const char *line;
    } rows[] = {{RESOLVE_DONE, 1, "restart was done before"},
                {RESOLVE_RETRY, 2, "restart started again, attempt 2"},
                {RESOLVE_FAIL, 2, "acting: restart, attempt 2 of 3"}};
    (void)state;
    for (size_t n = 0; n < 3; n++) {
        struct sim_options options;
        sim_options_init(&options);
        options.end = HARDY_NEVER;
        options.lose = 1; /* every step's shim is killed */
        if (n > 0)
            town_end(&town);
        town_begin(&town, PLAIN, &options);
        town.up = false;
        town.restart = (struct remedy_plan){.takes = 3 * HARDY_SECOND};
        struct life *once = town_watch(&town, true, NULL);
        town_wait(&town, once);
        assert_int_equal(once->state, INCIDENT_IN_DOUBT);
        assert_int_equal(town.restarts, 1);
        const struct incident *i = town_incident(&town);
        assert_int_equal(i->state, INCIDENT_IN_DOUBT);
        assert_non_null(strstr(i->outcome, " actions resolve inc-"));
        assert_non_null(strstr(pager_text(&town.pager, 0, "summary"), "nobody knows how it ended"));
        assert_int_equal(town.batches_with_page_and_state, 1);
        /* Nothing happens by itself, in this life or the next; nobody is paged again. */
        struct life *l = town_watch(&town, false, NULL);
        town.up = false;
        town_pass(&town, HARDY_HOUR);
        assert_int_equal(town.restarts, 1);
        assert_int_equal(town.pager.count, 1);
        char *key = incident_remedy_key(town_incident(&town));
        hardy_error error;
        const struct resolution as = {
            .row_kind = "remedy", .key = key, .how = rows[n].how, .who = "somebody"};
        if (record_resolve(town.loop, town.inner, town.state, &as, HARDY_NEVER, &error) != HARDY_OK)
            fail_msg("%s", error.message);
        free(key);
        if (rows[n].how == RESOLVE_DONE)
            town.up = true;
        town_pass(&town, 10 * HARDY_SECOND);
        IN_ORDER(l, "taken up: inc-", rows[n].line);
        assert_int_equal(town.restarts, rows[n].restarts);
        if (rows[n].how == RESOLVE_DONE) {
            assert_int_equal(town_incident(&town)->state, INCIDENT_RESOLVED);
            assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
        } else { /* lost again: asked again, and told again */
            town_pass(&town, HARDY_MINUTE);
            assert_int_equal(town_incident(&town)->state, INCIDENT_IN_DOUBT);
            assert_int_equal(town.pager.count, 2);
        }
    }
}

static void in_doubt_and_well_again_is_over(void **state) {
    struct sim_options options;
    (void)state;
    sim_options_init(&options);
    options.end = HARDY_NEVER;
    options.lose = 1;
    town_begin(&town, PLAIN, &options);
    town.up = false;
    struct life *l = town_watch(&town, false, NULL);
    town_wait_told(&town, l, "in doubt: ");
    town.up = true;
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(town_incident(&town)->state, INCIDENT_RESOLVED);
    IN_ORDER(l, "resolved: well again; how restart ended was never found out");
    assert_int_equal(town.pager.count, 2);
}

static void in_doubt_the_probe_decides(void **state) {
    struct sim_options options;
    (void)state;
    sim_options_init(&options);
    options.end = HARDY_NEVER;
    options.lose = 1;
    for (int code = 0; code < 3; code++) {
        if (code > 0)
            town_end(&town);
        town_begin(&town,
                   RESTART ACTION(", probe: [probe], in_doubt: probe") "      max_attempts: 2\n",
                   &options);
        town.up = false;
        town.restart = (struct remedy_plan){.takes = 3 * HARDY_SECOND, .heals = code == 0};
        town.probe_code = code;
        struct life *l = town_watch(&town, true, NULL);
        town_pass(&town, 20 * HARDY_SECOND);
        assert_true(town.probes >= 1);
        assert_int_equal(told(l, "nobody knows how restart ended"), (size_t)town.probes);
        if (code == 0) { /* done: verified as after any other */
            town_wait(&town, l);
            assert_int_equal(l->state, INCIDENT_RESOLVED);
            assert_int_equal(town.restarts, 1);
        } else if (code ==
                   1) { /* not done: begun again, three times; then the attempt has failed */
            town_wait(&town, l);
            assert_int_equal(l->state, INCIDENT_ESCALATED);
            assert_int_equal(town.restarts, 2 * 4);
        } else { /* cannot tell: a person is asked */
            town_wait(&town, l);
            assert_int_equal(l->state, INCIDENT_IN_DOUBT);
            assert_int_equal(town.restarts, 1);
        }
    }
}

static void by_hand_it_is_handled_whatever_the_check_says(void **state) {
    (void)state;
    town_begin(&town,
               "      rules: [{name: any, when: \"incident.summary == 'it is slow'\", cause: slow, "
               "actions: [restart]}]\n" ACTION(""),
               NULL);
    struct life *l = town_watch(&town, false, "it is slow");
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    assert_int_equal(town.restarts, 1);
    IN_ORDER(l, "opened: inc-", "critical: it is slow", "restart started", "resolved: ");
}

static void by_hand_one_that_is_with_a_person_is_closed_and_a_new_one_opened(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND, .code = 7};
    struct life *l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    char *first = str_dup(town_incident(&town)->id);
    town.restart = (struct remedy_plan){.takes = HARDY_SECOND, .settles = true};
    struct life *hand = town_watch(&town, false, "the port is free now");
    town_wait(&town, hand);
    assert_int_equal(hand->state, INCIDENT_RESOLVED);
    assert_int_equal(town_incidents(&town), 2);
    struct incident old;
    assert_int_equal(incident_load(town.inner, first, &old, NULL), HARDY_OK);
    assert_int_equal(old.state, INCIDENT_RESOLVED);
    assert_non_null(strstr(old.outcome, "handled again as inc-"));
    assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
    assert_string_equal(pager_text(&town.pager, 1, "dedup_key"), first);
    incident_free(&old);
    free(first);
}

/* --- a store in trouble ----------------------------------------------------------------------- */

/* Nothing is done that is not recorded; people are told without the store; it goes on by itself. */
static void a_full_disk_stops_the_hand_and_not_the_mouth(void **state) {
    (void)state;
    for (int at = 0; at < 6; at++) { /* the batch from which on it is full */
        static const char *const marks[] = {
            "down: ", "opened: ", "gathered: ", "analysed: ", "acting: ", "restart started"};
        if (at > 0)
            town_end(&town);
        town_begin(&town, PLAIN, NULL);
        town.up = false;
        struct life *l = town_watch(&town, true, NULL);
        town_wait_told(&town, l, marks[at]);
        int before = town.restarts;
        town.refuse_always = true;
        town_pass(&town, 10 * HARDY_MINUTE);
        assert_false(l->over);
        assert_int_equal(town.restarts, before);
        assert_true(l->trouble > 5);
        assert_int_equal(town.pager.count, 1); /* told once, from memory */
        assert_non_null(strstr(pager_text(&town.pager, 0, "summary"),
                               "hardy cannot help: its state cannot be written"));
        town.refuse_always = false;
        town_wait(&town, l);
        assert_int_equal(l->state, INCIDENT_RESOLVED);
        assert_int_equal(town.restarts, 1);
        assert_int_equal(town_incidents(&town), 1);
        /* Who was told is told the end. */
        assert_int_equal(town.pager.count, 2);
        assert_string_equal(pager_text(&town.pager, 1, "action"), "resolve");
        assert_string_equal(pager_text(&town.pager, 1, "dedup_key"),
                            pager_text(&town.pager, 0, "dedup_key"));
    }
}

static void a_single_refusal_anywhere_changes_nothing(void **state) {
    static const hardy_status refusals[] = {HARDY_E_NOSPACE, HARDY_E_NOMEM, HARDY_E_TIMEOUT,
                                            HARDY_E_FULL};
    (void)state;
    for (int skip = 0; skip < 12; skip++) {
        if (skip > 0)
            town_end(&town);
        town_begin(&town, PLAIN, NULL);
        town.up = false;
        town.refusal = refusals[skip % 4];
        struct life *l = town_watch(&town, true, NULL);
        for (int n = 0; n < 200000 && !l->over && town.restarts == 0; n++)
            if (n == skip * 8)
                town.refuse = 1;
            else
                town_pass(&town, HARDY_MILLISECOND);
        town_wait(&town, l);
        assert_int_equal(l->state, INCIDENT_RESOLVED);
        assert_int_equal(town.restarts, 1);
        assert_int_equal(town_incidents(&town), 1);
    }
}

static void a_store_that_has_failed_is_told_and_ends_it(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *l = town_watch(&town, false, NULL);
    town_wait_told(&town, l, "gathered: ");
    town.refusal = HARDY_E_IO;
    town.refuse_always = true;
    town_wait(&town, l);
    assert_int_equal(l->error, HARDY_E_IO);
    assert_int_equal(town.restarts, 0);
    assert_int_equal(town.pager.count, 1);
    assert_non_null(strstr(pager_text(&town.pager, 0, "summary"), "hardy cannot go on: "));
    town.refuse_always = false;
    l = town_watch(&town, true, NULL); /* as a service manager would */
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_RESOLVED);
    assert_int_equal(town.restarts, 1);
}

/* --- several ---------------------------------------------------------------------------------- */

static void two_that_watch_handle_it_once(void **state) {
    (void)state;
    for (int gap = 0; gap < 8; gap++) {
        if (gap > 0)
            town_end(&town);
        town_begin(&town, PLAIN, NULL);
        town.up = false;
        struct life *a = town_watch(&town, true, NULL);
        town_pass(&town, gap * 700 * HARDY_MILLISECOND);
        struct life *b = town_watch(&town, true, NULL);
        town_wait(&town, a);
        town_wait(&town, b);
        assert_int_equal(town.restarts, 1);
        assert_int_equal(town_incidents(&town), 1);
        assert_int_equal(a->state, INCIDENT_RESOLVED);
        assert_int_equal(b->state, INCIDENT_RESOLVED); /* the result of the other */
        assert_int_equal(told(a, "waiting: ") + told(b, "waiting: "), 1);
        if (told(b, "waiting: ") && gap > 4)
            assert_int_equal(told(b, "waiting: hardy test, pid 0 handles inc-"), 1);
    }
}

static void the_one_that_waits_takes_over(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *a = town_watch(&town, true, NULL);
    town_wait_told(&town, a, "restart started");
    struct life *b = town_watch(&town, false, NULL);
    town_wait_told(&town, b, "waiting: hardy test, pid 0 handles inc-");
    town_stop(&town, a);
    town_pass(&town, HARDY_MINUTE);
    IN_ORDER(b, "taken up: inc-", "restart is running already: attached, not started again",
             "resolved: restart helped");
    assert_int_equal(town.restarts, 1);
    assert_string_equal(town_incident(&town)->owner, "hardy test, pid 1");
}

/* Wherever it is: nothing is written, and no remedy started, that the other one could do too. */
static void who_was_taken_over_does_nothing_any_more(void **state) {
    static const char *const moments[] = {"gathered", "analysed", "acting"};
    (void)state;
    for (size_t n = 0; n < 3; n++) {
        if (n > 0)
            town_end(&town);
        town_begin(&town, PLAIN, NULL);
        town.up = false;
        town.usurp_at = moments[n];
        struct life *l = town_watch(&town, true, NULL);
        town_wait(&town, l);
        assert_int_equal(l->error, HARDY_E_FENCED);
        assert_int_equal(told(l, "another hardy has written inc-"), 1);
        assert_int_equal(town.restarts, 0);
    }
    /* A long-lived one stays, and goes on when the lock tells that nobody else is there. */
    town_end(&town);
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    town.usurp_at = "analysed";
    struct life *l = town_watch(&town, false, NULL);
    town_pass(&town, HARDY_MINUTE);
    IN_ORDER(l, "left: another hardy has written inc-", "taken up: ", "resolved: restart helped");
    assert_int_equal(town.restarts, 1);
}

/* --- a configuration that changes while it is open -------------------------------------------- */

static void an_action_that_is_gone_goes_to_a_person(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait_told(&town, l, "restart started");
    town_stop(&town, l);
    settings_free(&town.settings);
    settings_read(&town.settings,
                  "automation: act\n"
                  "checks: [{name: up, command: [ask], interval: 1s, timeout: 500ms}]\n"
                  "notify: {pager: {type: webhook, url: \"http://127.0.0.1:8080/page\"}}\n"
                  "incidents: {services: {web: {check: up, escalate: [pager]}}}\n");
    l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_ESCALATED);
    assert_non_null(strstr(pager_text(&town.pager, 0, "summary"),
                           "restart was under way and is not configured any more"));
    assert_int_equal(town.restarts, 1);
}

static void an_action_that_is_another_now_goes_to_a_person(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait_told(&town, l, "restart started");
    town_stop(&town, l);
    settings_free(&town.settings);
    settings_read(&town.settings,
                  "automation: act\n"
                  "checks: [{name: up, command: [ask], interval: 1s, timeout: 500ms}]\n"
                  "notify: {pager: {type: webhook, url: \"http://127.0.0.1:8080/page\"}}\n"
                  "incidents: {services: {web: {check: up, escalate: [pager], actions: {restart: "
                  "{run: [restart, --hard]}}}}}\n");
    l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    assert_int_equal(l->state, INCIDENT_ESCALATED);
    assert_non_null(strstr(pager_text(&town.pager, 0, "summary"),
                           "restart was changed in the configuration while it was under way"));
    assert_int_equal(town.restarts, 1);
}

static void a_service_that_is_gone_is_told(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *l = town_watch(&town, true, NULL);
    town_wait_told(&town, l, "restart started");
    town_stop(&town, l);
    settings_free(&town.settings);
    settings_read(&town.settings,
                  "checks: [{name: up, command: [ask], interval: 1s, timeout: 500ms}]\n");
    l = town_watch(&town, false, NULL);
    town_pass(&town, HARDY_MINUTE);
    assert_int_equal(told(l, "was left in state acting, and web is not configured any more"), 1);
}

static void old_findings_are_looked_at_again(void **state) {
    (void)state;
    town_begin(&town, PLAIN, NULL);
    town.up = false;
    struct life *l = town_watch(&town, false, NULL);
    town_wait_told(&town, l, "analysed: ");
    town_stop(&town, l);
    town_pass(&town, 3 * HARDY_HOUR);
    l = town_watch(&town, true, NULL);
    town_wait(&town, l);
    IN_ORDER(l, "taken up: ", "was left in state analysed", "gathered: ", "analysed: ", "acting: ");
    assert_int_equal(l->state, INCIDENT_RESOLVED);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

/* At any moment of the whole story, once and twice: it ends resolved, with one restart. */
static void killed_anywhere_it_is_resolved_with_one_restart(void **state) {
    size_t attached = 0, taken_up = 0;
    (void)state;
    for (int64_t at = 0; at < 9000; at += 9) {
        if (at > 0)
            town_end(&town);
        town_begin(&town, PLAIN, NULL);
        town.up = false;
        struct life *l = town_watch(&town, true, NULL);
        town_kill(&town, at * HARDY_MILLISECOND, true);
        bool twice = at % 2 == 1;
        while (!l->over)
            town_pass(&town, 50 * HARDY_MILLISECOND);
        if (town.life_count == 1) /* it was over before */
            break;
        if (twice) {
            town_kill(&town, (at % 7) * 300 * HARDY_MILLISECOND, true);
            town_pass(&town, 2 * HARDY_SECOND);
        }
        struct life *last = &town.lives[town.life_count - 1];
        for (int n = 0; n < 200 && !last->over && town_incidents(&town) == 0; n++) {
            town.up = false; /* the kill came before it was noticed: it still is down */
            town_pass(&town, 100 * HARDY_MILLISECOND);
        }
        for (int n = 0; n < 600 && !last->over; n++)
            town_pass(&town, 100 * HARDY_MILLISECOND);
        const struct incident *i = town_incident(&town);
        if (!i || i->state != INCIDENT_RESOLVED || town.restarts != 1 || town_incidents(&town) != 1)
            fail_msg("killed after %lld ms: %d restarts, %zu incidents\n%s\n%s", (long long)at,
                     town.restarts, town_incidents(&town), l->told.data, last->told.data);
        attached += told(last, "attached, not started again");
        taken_up += told(last, "taken up: ");
    }
    /* The sweep has met what it is for. */
    assert_true(attached > 50);
    assert_true(taken_up > attached);
}

int main(void) {
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(down_restarted_verified_resolved),
        TEST(a_remedy_that_fails_is_tried_with_growing_pauses_then_a_person_is_told),
        TEST(what_does_not_help_is_followed_by_the_next_action),
        TEST(without_a_rule_nothing_is_touched_and_a_person_is_told),
        TEST(a_rule_that_cannot_be_evaluated_is_told),
        TEST(observe_tells_what_it_would_have_done),
        TEST(what_recovers_by_itself_is_not_touched),
        TEST(a_flicker_is_not_a_recovery),
        TEST(nobody_is_woken_for_what_is_well_again),
        TEST(a_remedy_runs_no_more_often_than_it_may),
        TEST(with_a_person_it_is_left_alone_until_it_has_been_up),
        TEST(in_doubt_a_person_is_asked_and_heard),
        TEST(in_doubt_and_well_again_is_over),
        TEST(in_doubt_the_probe_decides),
        TEST(by_hand_it_is_handled_whatever_the_check_says),
        TEST(by_hand_one_that_is_with_a_person_is_closed_and_a_new_one_opened),
        TEST(a_full_disk_stops_the_hand_and_not_the_mouth),
        TEST(a_single_refusal_anywhere_changes_nothing),
        TEST(a_store_that_has_failed_is_told_and_ends_it),
        TEST(two_that_watch_handle_it_once),
        TEST(the_one_that_waits_takes_over),
        TEST(who_was_taken_over_does_nothing_any_more),
        TEST(an_action_that_is_gone_goes_to_a_person),
        TEST(an_action_that_is_another_now_goes_to_a_person),
        TEST(a_service_that_is_gone_is_told),
        TEST(old_findings_are_looked_at_again),
        TEST(killed_anywhere_it_is_resolved_with_one_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
