/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the checks of a service: once each, or until they have passed often enough. */
#include "base/json.h"
#include "incident/handle_inside.h"

static void on_answer(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct asked_check *c = ctx;
    struct handler *h = c->owner;
    (void)took;
    c->probe = NULL;
    c->result = result;
    str_copy(c->message, sizeof c->message, message);
    if (--h->unanswered == 0)
        h->asked(h);
}

void handler_ask_round(struct handler *h, void (*asked)(struct handler *h)) {
    h->asked = asked;
    h->unanswered = h->check_count;
    for (size_t n = 0; n < h->check_count; n++) {
        struct asked_check *c = &h->checks[n];
        c->probe = check_probe_start(h->world.loop, h->world.client, c->check, on_answer, c);
        if (!c->probe) {
            handler_stop_checks(h);
            handler_end_without_memory(h);
            return;
        }
    }
}

void handler_stop_checks(struct handler *h) {
    for (size_t n = 0; n < h->check_count; n++) {
        if (h->checks[n].probe)
            check_probe_cancel(h->checks[n].probe);
        h->checks[n].probe = NULL;
    }
}

hardy_status handler_find_checks(struct handler *h, hardy_error *error) {
    const struct service_settings *s = h->service;
    h->checks = calloc(s->checks.count + 1, sizeof *h->checks);
    if (!h->checks)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for an incident");
    for (size_t n = 0; n < s->checks.count; n++) {
        const struct check_settings *check = incident_check(h->world.checks, s->checks.items[n]);
        if (!check)
            return fail(error, HARDY_E_NOT_FOUND, NULL,
                        "service `%s` names the check `%s`, which is not under checks:", s->name,
                        s->checks.items[n]);
        h->checks[h->check_count++] = (struct asked_check){.owner = h, .check = check};
    }
    return HARDY_OK;
}

int64_t handler_interval(const struct handler *h) {
    int64_t least = HARDY_NEVER;
    for (size_t n = 0; n < h->check_count; n++)
        if (h->checks[n].check->interval < least)
            least = h->checks[n].check->interval;
    return least;
}

/* --- until they have passed often enough -------------------------------------------------------
 */

static void on_round(struct handler *h);

static void on_ask_again(struct loop_timer *timer) {
    handler_ask_round(timer->ctx, on_round);
}

/* The first that did not pass; else the last that did. */
static const struct asked_check *worst(const struct handler *h) {
    for (size_t n = 0; n < h->check_count; n++)
        if (h->checks[n].result != CHECK_PASS)
            return &h->checks[n];
    return &h->checks[h->check_count - 1];
}

static void on_round(struct handler *h) {
    int64_t now = loop_now(h->world.loop);
    const struct asked_check *c = worst(h);
    char message[HANDLER_TEXT];
    bool good = c->result == CHECK_PASS;
    h->passes = good ? h->passes + 1 : 0;
    snprintf(message, sizeof message, "%s%s%s", h->check_count > 1 ? c->check->name : "",
             h->check_count > 1 ? ": " : "", c->message);
    if (h->passes >= h->service->verify.passes) {
        h->answered(h, true, message);
    } else if (!good && now >= h->ask_until) {
        h->answered(h, false, message);
    } else {
        loop_timer_init(&h->timer, on_ask_again, h);
        loop_timer_start(h->world.loop, &h->timer, time_add(now, handler_interval(h)));
    }
}

void handler_ask(struct handler *h, int64_t until,
                 void (*answered)(struct handler *h, bool good, const char *message)) {
    h->passes = 0;
    h->ask_until = until;
    h->answered = answered;
    handler_ask_round(h, on_round);
}

/* --- as evidence ---------------------------------------------------------------------------------
 */

char *handler_results(const struct handler *h) {
    static const char *const words[] = {"pass", "fail", "unknown"};
    struct buf text;
    struct json_out j;
    size_t passing = 0, failing = 0;
    for (size_t n = 0; n < h->check_count; n++) {
        passing += h->checks[n].result == CHECK_PASS;
        failing += h->checks[n].result == CHECK_FAIL;
    }
    buf_init(&text, HANDLER_VALUE);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_member_string(&j, "level", heal_level_text(heal_level_of(passing, failing)));
    json_out_key(&j, "results");
    json_out_object(&j);
    for (size_t n = 0; n < h->check_count; n++) {
        json_out_key(&j, h->checks[n].check->name);
        json_out_object(&j);
        json_out_member_string(&j, "result", words[h->checks[n].result]);
        json_out_member_string(&j, "message", h->checks[n].message);
        json_out_object_end(&j);
    }
    json_out_object_end(&j);
    json_out_object_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}
