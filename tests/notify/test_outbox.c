/* SPDX-License-Identifier: Apache-2.0 */
/* Pages, in virtual time: kept until they are taken, in order, whatever the far side and the store
 * do. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "config/config.h"
#include "http/client.h"
#include "io/sim.h"
#include "notify/notify.h"
#include "pager.h"
#include "store/internal.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct loop *loop;
static struct store *store;
static struct pager pager;
static struct config *config;
static struct schema_list targets;

/* --- one life of a program that sends --------------------------------------------------------- */

struct life {
    struct http_client *client;
    struct outbox *outbox;
    size_t delivered, failed, idle;
    char last_target[64], last_key[64], last_why[200], last_said[200];
    int64_t next_try;
    bool gone;
};

static void on_delivered(void *ctx, const char *target, const char *dedup_key, const char *said) {
    struct life *l = ctx;
    l->delivered++;
    str_copy(l->last_target, sizeof l->last_target, target);
    str_copy(l->last_key, sizeof l->last_key, dedup_key);
    str_copy(l->last_said, sizeof l->last_said, said);
}

static void on_failed(void *ctx, const char *target, const char *why, int64_t next_try) {
    struct life *l = ctx;
    l->failed++;
    str_copy(l->last_target, sizeof l->last_target, target);
    str_copy(l->last_why, sizeof l->last_why, why);
    l->next_try = next_try;
    assert_true(next_try > loop_now(loop));
}

static void on_idle(void *ctx) {
    struct life *l = ctx;
    l->idle++;
}

static const struct outbox_events events = {on_delivered, on_failed, on_idle};

static void begin(struct life *l, struct store *from) {
    struct http_client_options options;
    hardy_error error;
    memset(l, 0, sizeof *l);
    http_client_options_init(&options);
    l->client = http_client_new(loop, &options, &error);
    static const char *const env[] = {"PATH=/bin", NULL};
    const struct outbox_options outbox = {.loop = loop,
                                          .store = from,
                                          .client = l->client,
                                          .env = env,
                                          .targets = &targets,
                                          .events = &events,
                                          .ctx = l};
    assert_int_equal(outbox_start(&outbox, &l->outbox, &error), HARDY_OK);
}

static void on_gone(void *ctx) {
    struct life *l = ctx;
    l->gone = true;
}

static void on_time(struct loop_timer *timer) {
    (void)timer;
    loop_stop(loop);
}

static void pass(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, NULL);
    loop_timer_start(loop, &timer, loop_now(loop) + span);
    loop_run(loop);
}

static void end(struct life *l) {
    outbox_stop(l->outbox, on_gone, l);
    assert_false(l->gone); /* never from inside the call */
    pass(HARDY_SECOND);
    assert_true(l->gone);
    http_client_free(l->client);
    pass(HARDY_SECOND);
}

static const struct notify_target *target(const char *name) {
    const struct notify_target *t = notify_find(&targets, name);
    assert_non_null(t);
    return t;
}

static void put(const char *name, const char *action, const char *key, const char *summary) {
    const struct notice notice = {.action = action,
                                  .dedup_key = key,
                                  .summary = summary,
                                  .severity = "high",
                                  .source = "web",
                                  .details = "{\"seen\":true}"};
    struct store_op op;
    void *memory;
    hardy_error error;
    assert_int_equal(outbox_row(target(name), &notice, loop_wall(loop), &op, &memory, &error),
                     HARDY_OK);
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, &error), HARDY_OK);
    free(memory);
    pass(HARDY_MILLISECOND); /* the next one is later */
}

static bool count_row(void *ctx, const struct store_row *row) {
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static size_t kept_as(const char *kind) {
    size_t count = 0;
    assert_int_equal(store_scan(store, kind, "", NULL, SIZE_MAX, count_row, &count, NULL),
                     HARDY_OK);
    return count;
}

static size_t kept(void) {
    return kept_as("outbox");
}

static int64_t sim_wall(void *ctx) {
    (void)ctx;
    return loop_wall(loop);
}

static int setup(void **state) {
    static const char yaml[] =
        "notify:\n"
        "  pager: {type: webhook, url: \"http://127.0.0.1:8080/page\", timeout: 2s}\n"
        "  dead: {type: webhook, url: \"http://127.0.0.1:9999/page\", timeout: 2s}\n"
        "  screen: {type: stderr}\n"
        "  duty: {type: pagerduty, routing_key: 0123456789abcdef, url: "
        "\"http://127.0.0.1:8080/v2/enqueue\", timeout: 2s}\n"
        "  room: {type: slack, url: \"http://127.0.0.1:8080/hook\", timeout: 2s}\n"
        "  shell: {type: command, run: [call-me, now], timeout: 2s}\n";
    struct sim_options sim;
    struct store_options options = {.path = NULL, .wall = sim_wall};
    hardy_error error;
    (void)state;
    sim_options_init(&sim);
    sim.end = HARDY_NEVER;
    loop = loop_sim_new(&sim, &error);
    assert_int_equal(store_open(&options, &store, &error), HARDY_OK);
    assert_int_equal(config_load_bytes("t.yaml", yaml, sizeof yaml - 1, &config, &error), HARDY_OK);
    assert_int_equal(notify_read(config, &targets, &error), HARDY_OK);
    memset(&pager, 0, sizeof pager);
    pager_open(&pager, loop);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    pager_close(&pager);
    pass(HARDY_MINUTE);
    pager_free(&pager);
    notify_free(&targets);
    config_free(config);
    store_close(store);
    loop_free(loop);
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_row_holds_what_a_pager_needs(void **state) {
    struct life l;
    (void)state;
    put("pager", "trigger", "inc-1", "it \"burns\"\n");
    assert_int_equal(kept(), 1);
    begin(&l, store);
    pass(HARDY_SECOND);
    assert_int_equal(pager.count, 1);
    assert_string_equal(pager_text(&pager, 0, "action"), "trigger");
    assert_string_equal(pager_text(&pager, 0, "dedup_key"), "inc-1");
    assert_string_equal(pager_text(&pager, 0, "summary"), "it \"burns\"\n");
    assert_string_equal(pager_text(&pager, 0, "severity"), "high");
    assert_string_equal(pager_text(&pager, 0, "source"), "web");
    assert_int_equal(strlen(pager_text(&pager, 0, "timestamp")), 24);
    assert_true(json_is_true(json_object_get(json_object_get(pager.taken[0], "details"), "seen")));
    assert_int_equal(l.delivered, 1);
    assert_string_equal(l.last_key, "inc-1");
    assert_int_equal(kept(), 0);
    assert_true(outbox_idle(l.outbox));
    end(&l);
}

static void much_detail_does_not_keep_a_page_back(void **state) {
    size_t len = 600 << 10;
    char *details = malloc(len + 3);
    (void)state;
    memset(details, 'x', len + 2);
    details[0] = details[len + 1] = '"';
    details[len + 2] = '\0';
    const struct notice notice = {.action = "trigger",
                                  .dedup_key = "inc-1",
                                  .summary = "much",
                                  .severity = "high",
                                  .source = "web",
                                  .details = details};
    struct store_op op;
    void *memory;
    assert_int_equal(outbox_row(target("pager"), &notice, 1, &op, &memory, NULL), HARDY_OK);
    assert_true(op.len < 1000);
    assert_non_null(strstr(op.value, "\"details\":null"));
    free(memory);
    free(details);
}

static void the_oldest_goes_first_to_each(void **state) {
    struct life l;
    char key[16];
    (void)state;
    for (int n = 0; n < 12; n++) {
        snprintf(key, sizeof key, "inc-%d", n);
        put("pager", n % 2 ? "resolve" : "trigger", key, "s");
    }
    begin(&l, store);
    pass(10 * HARDY_SECOND);
    assert_int_equal(pager.count, 12);
    for (int n = 0; n < 12; n++) {
        snprintf(key, sizeof key, "inc-%d", n);
        assert_string_equal(pager_text(&pager, (size_t)n, "dedup_key"), key);
    }
    end(&l);
}

static void what_comes_back_in_trouble_is_sent_again_and_taken_once(void **state) {
    struct life l;
    (void)state;
    pager.answers[0] = 500;
    pager.answers[1] = 0; /* hangs */
    pager.answers[2] = 429;
    pager.answer_count = 3;
    put("pager", "trigger", "inc-1", "s");
    put("pager", "resolve", "inc-2", "s");
    begin(&l, store);
    pass(2 * HARDY_MINUTE);
    assert_int_equal(pager.asked, 5);
    assert_int_equal(pager.count, 2);
    assert_string_equal(pager_text(&pager, 0, "action"), "trigger");
    assert_string_equal(pager_text(&pager, 1, "action"), "resolve");
    assert_int_equal(l.delivered, 2);
    assert_int_equal(l.failed, 3);
    assert_int_equal(kept(), 0);
    end(&l);
}

static void a_pager_that_is_down_for_hours_gets_it_in_the_end(void **state) {
    struct life l;
    (void)state;
    pager_close(&pager);
    put("pager", "trigger", "inc-1", "s");
    put("screen", "trigger", "inc-1", "s"); /* another place does not wait for it */
    begin(&l, store);
    pass(3 * HARDY_HOUR);
    assert_int_equal(l.delivered, 1);
    assert_string_equal(l.last_why, "connection refused");
    assert_true(l.failed > 100);
    assert_int_equal(kept(), 1);
    assert_false(outbox_idle(l.outbox));
    pager_open(&pager, loop);
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    assert_int_equal(kept(), 0);
    end(&l);
}

static void it_is_kept_over_a_restart_and_sent_by_the_next_process(void **state) {
    struct life l;
    (void)state;
    pager_close(&pager);
    put("pager", "trigger", "inc-1", "s");
    begin(&l, store);
    pass(20 * HARDY_SECOND);
    end(&l); /* in the middle of its tries */
    assert_int_equal(kept(), 1);
    pager_open(&pager, loop);
    begin(&l, store);
    pass(HARDY_SECOND);
    assert_int_equal(pager.count, 1);
    assert_int_equal(kept(), 0);
    end(&l);
}

static void what_is_refused_for_good_does_not_keep_the_later_ones(void **state) {
    static const int refusals[] = {400, 404, 302};
    (void)state;
    for (size_t r = 0; r < 3; r++) {
        struct life l;
        pager.answers[0] = refusals[r];
        pager.answer_count = 1;
        pager.asked = 0;
        size_t before = pager.count;
        put("pager", "trigger", "poison", "s");
        put("pager", "trigger", "inc-2", "s");
        put("pager", "trigger", "inc-3", "s");
        begin(&l, store);
        pass(HARDY_SECOND);
        assert_int_equal(pager.count, before + 2);
        assert_string_equal(pager_text(&pager, before, "dedup_key"), "inc-2");
        assert_int_equal(kept(), 0);
        assert_int_equal(l.failed, 1);
        assert_true(l.next_try == HARDY_NEVER);
        assert_true(outbox_idle(l.outbox));
        /* It is kept, and this process does not ask again: the answer would be the same. */
        pass(HARDY_HOUR);
        assert_int_equal(pager.count, before + 2);
        assert_int_equal(kept_as("outbox_refused"), 1);
        end(&l);
        /* The next one may have a better configuration. */
        begin(&l, store);
        pass(HARDY_SECOND);
        assert_int_equal(pager.count, before + 3);
        assert_string_equal(pager_text(&pager, before + 2, "dedup_key"), "poison");
        assert_int_equal(kept_as("outbox_refused"), 0);
        end(&l);
    }
}

/* --- what is over before it could be told ------------------------------------------------------
 */

static void a_trigger_whose_end_waits_is_not_sent_any_more(void **state) {
    struct life l;
    (void)state;
    put("pager", "trigger", "inc-1", "burns");
    put("pager", "trigger", "inc-2", "other");
    put("pager", "acknowledge", "inc-1", "seen");
    put("pager", "resolve", "inc-1", "well");
    put("pager", "trigger", "inc-1", "burns anew");
    begin(&l, store);
    pass(10 * HARDY_SECOND);
    assert_int_equal(pager.count, 3);
    assert_string_equal(pager_text(&pager, 0, "summary"), "other");
    assert_string_equal(pager_text(&pager, 1, "summary"), "well");
    assert_true(json_is_true(json_object_get(pager.taken[1], "untold")));
    assert_string_equal(pager_text(&pager, 2, "summary"), "burns anew");
    assert_int_equal(kept(), 0);
    assert_int_equal(l.failed, 0);
    end(&l);
}

/* Also when it ends while the pager is being tried. */
static void it_may_end_between_two_tries(void **state) {
    struct life l;
    (void)state;
    pager_close(&pager);
    put("pager", "trigger", "inc-1", "burns");
    begin(&l, store);
    pass(10 * HARDY_SECOND);
    put("pager", "resolve", "inc-1", "well");
    outbox_kick(l.outbox);
    pager_open(&pager, loop);
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    assert_string_equal(pager_text(&pager, 0, "action"), "resolve");
    assert_true(json_is_true(json_object_get(pager.taken[0], "untold")));
    end(&l);
}

/* It may have been taken: then its end is nothing that was untold. */
static void an_answer_that_was_lost_may_have_been_a_yes(void **state) {
    struct life l;
    (void)state;
    pager.answers[0] = 0;
    pager.answer_count = 1;
    put("pager", "trigger", "inc-1", "burns");
    begin(&l, store);
    pass(HARDY_SECOND);
    put("pager", "resolve", "inc-1", "well");
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    assert_string_equal(pager_text(&pager, 0, "action"), "resolve");
    assert_null(json_object_get(pager.taken[0], "untold"));
    end(&l);
}

/* Or the next process, with a key that is right, would open what nobody closes. */
static void what_was_refused_goes_with_its_end(void **state) {
    struct life l;
    (void)state;
    pager.answers[0] = 400;
    pager.answer_count = 1;
    put("pager", "trigger", "inc-1", "burns");
    put("pager", "trigger", "inc-2", "burns too");
    begin(&l, store);
    pass(HARDY_SECOND);
    assert_int_equal(kept_as("outbox_refused"), 1);
    put("pager", "resolve", "inc-1", "well");
    outbox_kick(l.outbox);
    pass(HARDY_SECOND);
    assert_int_equal(pager.count, 2);
    assert_int_equal(kept_as("outbox_refused"), 0);
    end(&l);
    begin(&l, store);
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 2);
    end(&l);
}

/* --- waiting as told ---------------------------------------------------------------------------
 */

static void retry_after_is_obeyed(void **state) {
    struct life l;
    (void)state;
    pager.answers[0] = 429;
    pager.answer_count = 1;
    pager.retry_after = "200";
    put("pager", "trigger", "inc-1", "s");
    begin(&l, store);
    pass(199 * HARDY_SECOND);
    assert_int_equal(pager.asked, 1);
    assert_int_equal(l.failed, 1);
    pass(30 * HARDY_SECOND);
    assert_int_equal(pager.count, 1);
    end(&l);
}

/* A day is more than a page may wait because somebody says so. */
static void but_not_for_ever(void **state) {
    struct life l;
    (void)state;
    pager.answers[0] = 429;
    pager.answer_count = 1;
    pager.retry_after = "86400";
    put("pager", "trigger", "inc-1", "s");
    begin(&l, store);
    pass(14 * HARDY_MINUTE);
    assert_int_equal(pager.asked, 1);
    pass(2 * HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    end(&l);
}

static void a_minute_of_500_delays_and_does_not_lose(void **state) {
    struct life l;
    (void)state;
    pager.always = 500;
    put("duty", "trigger", "inc-1", "s");
    begin(&l, store);
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 0);
    assert_in_range(pager.asked, 5, 20); /* the breaker spares it */
    pager.always = 0;
    pass(35 * HARDY_SECOND);
    assert_int_equal(pager.count, 1);
    assert_string_equal(pager_text(&pager, 0, "event_action"), "trigger");
    assert_string_equal(l.last_said, "answered 202 Accepted: Event processed");
    end(&l);
}

static void slack_gets_one_a_second(void **state) {
    struct life l;
    char key[16];
    (void)state;
    for (int n = 0; n < 10; n++) {
        snprintf(key, sizeof key, "inc-%d", n);
        put("room", "trigger", key, "s");
    }
    begin(&l, store);
    pass(4500 * HARDY_MILLISECOND);
    assert_in_range(pager.count, 4, 5);
    pass(10 * HARDY_SECOND);
    assert_int_equal(pager.count, 10);
    end(&l);
}

/* What the far side says is shown, and it may say anything. */
static void the_far_sides_words_are_shown_without_secrets(void **state) {
    struct life l;
    (void)state;
    pager.answers[0] = 400;
    pager.answer_count = 1;
    pager.words = "{\"message\":\"bad key 0123456789abcdef\x1b[2J\"}";
    put("duty", "trigger", "inc-1", "s");
    begin(&l, store);
    pass(HARDY_SECOND);
    assert_non_null(strstr(l.last_why, "answered 400 Bad Request: "));
    assert_null(strstr(l.last_why, "0123456789abcdef"));
    assert_non_null(strstr(l.last_why, "bad key ***"));
    assert_null(strchr(l.last_why, '\x1b'));
    end(&l);
}

/* --- a command ---------------------------------------------------------------------------------
 */

struct calls {
    size_t count, killed;
    int codes[4];
    char key[64], summary[64], argument[16];
};

static void on_signal(struct sim_process *p, void *ctx, int signum) {
    struct calls *c = ctx;
    (void)p;
    c->killed += signum == 15;
}

static void call_me(struct sim_process *p, void *ctx) {
    struct calls *c = ctx;
    int code = c->codes[c->count++];
    str_copy(c->key, sizeof c->key, sim_env(p, "HARDY_NOTICE_DEDUP_KEY"));
    str_copy(c->summary, sizeof c->summary, sim_env(p, "HARDY_NOTICE_SUMMARY"));
    str_copy(c->argument, sizeof c->argument, sim_argv(p)[1]);
    if (code < 0) { /* hangs, and TERM does not end it */
        sim_on_signal(p, on_signal, c);
        return;
    }
    sim_output(p, 1, "called\n", 7);
    sim_exit_after(p, HARDY_MILLISECOND, code, 0);
}

static void a_command_takes_it_with_0(void **state) {
    struct calls calls = {.codes = {1, 127, -1, 0}};
    struct life l;
    (void)state;
    sim_program_add(loop, "call-me", call_me, &calls);
    put("shell", "trigger", "inc-1", "it burns");
    begin(&l, store);
    pass(HARDY_MINUTE);
    assert_int_equal(calls.count, 4);
    assert_int_equal(calls.killed, 1);
    assert_int_equal(l.failed, 3);
    assert_int_equal(l.delivered, 1);
    assert_string_equal(calls.key, "inc-1");
    assert_string_equal(calls.summary, "it burns");
    assert_string_equal(calls.argument, "now");
    assert_string_equal(l.last_why, "ended after its timeout");
    assert_string_equal(l.last_said, "exit code 0: called");
    assert_int_equal(kept(), 0);
    end(&l);
}

static void a_command_that_runs_is_ended_with_the_outbox(void **state) {
    struct calls calls = {.codes = {-1}};
    struct life l;
    (void)state;
    sim_program_add(loop, "call-me", call_me, &calls);
    put("shell", "trigger", "inc-1", "it burns");
    begin(&l, store);
    pass(HARDY_SECOND);
    outbox_stop(l.outbox, on_gone, &l);
    pass(3 * HARDY_SECOND);
    assert_true(l.gone);
    assert_int_equal(calls.killed, 1);
    assert_int_equal(kept(), 1);
    http_client_free(l.client);
    pass(HARDY_SECOND);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

/* The memory of those that were killed stays where it can be found. */
static struct life lives[64];
static size_t life_count;

static void next_life(void *ctx) {
    (void)ctx;
    begin(&lives[life_count++], store);
}

/* Whenever it is killed: taken at least once, and each copy under the same key. */
static void killed_anywhere_it_is_sent_with_the_same_key(void **state) {
    size_t copies = 0;
    (void)state;
    for (int64_t at = 0; at < 16; at++) {
        size_t before = pager.count, first = life_count;
        put("pager", "trigger", "inc-1", "s");
        begin(&lives[life_count++], store);
        sim_kill_at(loop, loop_now(loop) + at * HARDY_MILLISECOND / 2, next_life, NULL);
        pass(HARDY_MINUTE);
        assert_int_equal(life_count, first + 2);
        assert_int_equal(kept(), 0);
        assert_true(pager.count > before);
        for (size_t n = before; n < pager.count; n++)
            assert_string_equal(pager.keys[n], pager.keys[before]);
        copies += pager.count - before - 1;
        end(&lives[first + 1]);
        pager_close(&pager);
        pass(HARDY_SECOND);
        pager_free(&pager);
        pager_open(&pager, loop);
    }
    assert_true(copies > 0); /* the kill between sending and removing was among them */
}

/* --- a store in trouble ------------------------------------------------------------------------
 */

struct spy {
    struct store base;
    struct store *inner;
    bool full, blind;
};

static hardy_status spy_submit(struct store *s, struct batch *batch, hardy_error *error) {
    struct spy *spy = (struct spy *)s;
    if (!spy->full)
        return spy->inner->methods->submit(spy->inner, batch, error);
    batch->status = HARDY_E_NOSPACE;
    batch->failed = -1;
    batch_finish(s, batch, NULL);
    return HARDY_OK;
}

static hardy_status spy_scan(struct store *s, const char *kind, const char *prefix,
                             const char *after, size_t limit, bool values, struct rows *out,
                             hardy_error *error) {
    struct spy *spy = (struct spy *)s;
    if (spy->blind)
        return HARDY_E_IO;
    return spy->inner->methods->scan(spy->inner, kind, prefix, after, limit, values, out, error);
}

static void a_row_that_cannot_be_removed_is_not_sent_again_by_this_process(void **state) {
    static const struct store_methods methods = {.submit = spy_submit, .scan = spy_scan};
    struct spy spy = {.base = {.methods = &methods}, .inner = store, .full = true};
    struct life l;
    (void)state;
    put("pager", "trigger", "inc-1", "s");
    put("pager", "trigger", "inc-2", "s");
    begin(&l, &spy.base);
    pass(10 * HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    assert_int_equal(l.delivered, 1);
    spy.full = false;
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 2);
    assert_string_equal(pager_text(&pager, 1, "dedup_key"), "inc-2");
    assert_int_equal(kept(), 0);
    end(&l);
}

static void a_store_that_cannot_be_read_is_asked_again(void **state) {
    static const struct store_methods methods = {.submit = spy_submit, .scan = spy_scan};
    struct spy spy = {.base = {.methods = &methods}, .inner = store, .blind = true};
    struct life l;
    (void)state;
    put("pager", "trigger", "inc-1", "s");
    begin(&l, &spy.base);
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 0);
    spy.blind = false;
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    end(&l);
}

static void without_a_store_it_is_sent_from_memory(void **state) {
    static const struct notice notice = {.action = "trigger",
                                         .dedup_key = "inc-1",
                                         .summary = "full",
                                         .severity = "high",
                                         .source = "web"};
    struct life l;
    hardy_error error;
    (void)state;
    begin(&l, store);
    pass(HARDY_SECOND);
    pager.answers[0] = 500;
    pager.answers[1] = 500;
    pager.answer_count = 2;
    assert_int_equal(outbox_tell(l.outbox, target("pager"), &notice, &error), HARDY_OK);
    assert_int_equal(kept(), 0);
    pass(HARDY_MINUTE);
    assert_int_equal(pager.count, 1);
    assert_string_equal(pager_text(&pager, 0, "summary"), "full");
    assert_int_equal(l.delivered, 1);
    /* Its place is bounded. */
    for (int n = 0; n < 16; n++)
        assert_int_equal(outbox_tell(l.outbox, target("dead"), &notice, &error), HARDY_OK);
    assert_int_equal(outbox_tell(l.outbox, target("dead"), &notice, &error), HARDY_E_FULL);
    end(&l);
}

static void what_others_left_is_taken_when_it_is_old(void **state) {
    struct life l;
    (void)state;
    begin(&l, store);
    pass(HARDY_SECOND);
    put("pager", "trigger", "inc-1", "s"); /* another process, which is sending it now */
    outbox_look(l.outbox, HARDY_MINUTE);
    pass(HARDY_SECOND);
    assert_int_equal(pager.count, 0);
    assert_true(outbox_idle(l.outbox));
    pass(HARDY_MINUTE);
    outbox_look(l.outbox, HARDY_MINUTE);
    pass(HARDY_SECOND);
    assert_int_equal(pager.count, 1);
    end(&l);
}

/* --- standard error ----------------------------------------------------------------------------
 */

static void standard_error_gets_one_clean_line(void **state) {
    struct life l;
    char text[400];
    int ends[2], saved = dup(STDERR_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    put("screen", "trigger", "inc-1", "it \x1b[2J burns\nPAGE [screen] false alarm");
    put("screen", "resolve", "inc-2", "well");
    dup2(ends[1], STDERR_FILENO);
    begin(&l, store);
    pass(HARDY_SECOND);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t len = read(ends[0], text, sizeof text - 1);
    assert_true(len > 0);
    text[len] = '\0';
    close(ends[0]);
    assert_string_equal(text, "PAGE [screen] it ?[2J burns?PAGE [screen] false alarm (inc-1)\n"
                              "RESOLVED [screen] well (inc-2)\n");
    assert_int_equal(kept(), 0);
    end(&l);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_row_holds_what_a_pager_needs),
        TEST(much_detail_does_not_keep_a_page_back),
        TEST(the_oldest_goes_first_to_each),
        TEST(what_comes_back_in_trouble_is_sent_again_and_taken_once),
        TEST(a_pager_that_is_down_for_hours_gets_it_in_the_end),
        TEST(it_is_kept_over_a_restart_and_sent_by_the_next_process),
        TEST(what_is_refused_for_good_does_not_keep_the_later_ones),
        TEST(a_trigger_whose_end_waits_is_not_sent_any_more),
        TEST(it_may_end_between_two_tries),
        TEST(an_answer_that_was_lost_may_have_been_a_yes),
        TEST(what_was_refused_goes_with_its_end),
        TEST(retry_after_is_obeyed),
        TEST(but_not_for_ever),
        TEST(a_minute_of_500_delays_and_does_not_lose),
        TEST(slack_gets_one_a_second),
        TEST(the_far_sides_words_are_shown_without_secrets),
        TEST(a_command_takes_it_with_0),
        TEST(a_command_that_runs_is_ended_with_the_outbox),
        TEST(killed_anywhere_it_is_sent_with_the_same_key),
        TEST(a_row_that_cannot_be_removed_is_not_sent_again_by_this_process),
        TEST(a_store_that_cannot_be_read_is_asked_again),
        TEST(without_a_store_it_is_sent_from_memory),
        TEST(what_others_left_is_taken_when_it_is_old),
        TEST(standard_error_gets_one_clean_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
