/* SPDX-License-Identifier: Apache-2.0 */
/* What was advised, as a configuration and as lines to type. */
#include "advise/inside.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static size_t name_length(const char *names) {
    return strcspn(names, " ");
}

struct yaml_name {
    char text[72];
};

/* The first of the names, as YAML takes it: a plain null is nothing, and not a name. */
static struct yaml_name first_name(const char *names) {
    struct yaml_name name;
    int len = (int)name_length(names);
    bool quoted = len == 4 && strncasecmp(names, "null", 4) == 0;
    snprintf(name.text, sizeof name.text, quoted ? "\"%.*s\"" : "%.*s", len, names);
    return name;
}

static void put_span(struct buf *to, const char *before, int64_t span) {
    char text[48];
    format_duration(span, text);
    buf_printf(to, "%s%s", before, text);
}

/* The line that makes the same again. */
static void put_flags(const struct advice *a, const char *names, struct buf *to) {
    struct answers usual;
    char text[48], def[48];
    answers_default(&usual);
    buf_puts(to, "# From: hardy advise");
    for (int id = 0; id < QUESTIONS; id++) {
        answers_text(&a->answers, (enum question_id)id, text, sizeof text);
        answers_text(&usual, (enum question_id)id, def, sizeof def);
        if (id == ASK_EFFECTS || id == ASK_DEPENDS || !str_eq(text, def)) {
            buf_printf(to, " --%s %s", questions[id].name, text);
        }
    }
    answers_text(&a->answers, ASK_DEPENDS, text, sizeof text);
    if (!str_eq(names, text)) {
        for (const char *name = names; *name; name += strspn(name, " ")) {
            buf_printf(to, " --name %.*s", (int)name_length(name), name);
            name += name_length(name);
        }
    }
    buf_puts(to, " --yaml\n");
}

static void put_retry(const struct advice *a, struct buf *to) {
    static const char *const jitters[] = {"none", "full", "equal", "decorrelated", "proportional"};
    const hardy_retry_config *r = a->guard.retry;
    if (!r) {
        buf_puts(to, "    retry: off\n");
        return;
    }
    buf_printf(to, "    retry: {max_retries: %u", r->max_retries);
    put_span(to, ", base_delay: ", r->base_delay);
    put_span(to, ", max_delay: ", r->max_delay);
    buf_printf(to, ", jitter: %s", jitters[r->jitter]);
    if (r->max_total_wait != HARDY_NEVER) {
        put_span(to, ", max_total_wait: ", r->max_total_wait);
    }
    if (r->repeatable) {
        buf_puts(to, ", repeatable: true");
    }
    char floor[32];
    advise_floor(a, floor);
    buf_printf(to, ", budget: {ratio: %g, floor: %s}}\n", a->budget.ratio, floor);
}

static void put_breaker(const struct advice *a, struct buf *to) {
    const hardy_breaker_config *k = a->guard.breaker;
    if (!k) {
        buf_puts(to, "    breaker: off\n");
        return;
    }
    buf_printf(to, "    breaker: {failure_threshold: %u, ", k->failure_threshold);
    if (k->failure_mode == HARDY_CONSECUTIVE) {
        buf_puts(to, "failure_mode: consecutive");
    } else {
        put_span(to, "failure_window: ", k->failure_window);
    }
    put_span(to, ", recovery_timeout: ", k->recovery_timeout);
    buf_printf(to, ", success_threshold: %u, when_open: %s}\n", k->success_threshold,
               a->guard.wait_when_open ? "wait" : "reject");
}

static void put_guard(const struct advice *a, const char *name, struct buf *to) {
    const hardy_guard_config *g = &a->guard;
    buf_printf(to, "  %s:\n", name);
    put_span(to, "    deadline: ", g->deadline);
    if (g->timeout_first_content != HARDY_NEVER) {
        const int64_t connect = 5 * HARDY_SECOND, content = g->timeout_first_content;
        put_span(to, "\n    timeout: {connect: ", connect < content ? connect : content);
        put_span(to, ", first_content: ", content);
        put_span(to, ", idle: ", g->timeout_idle);
        buf_putc(to, '}');
    } else if (g->timeout != HARDY_NEVER) {
        put_span(to, "\n    timeout: ", g->timeout);
    }
    buf_putc(to, '\n');
    put_retry(a, to);
    put_breaker(a, to);
    if (g->rate) {
        char rate[96];
        format_rate(g->rate->events, g->rate->period, rate);
        buf_printf(to, "    rate: {requests: %s, burst: %.0f, when_limited: %s}\n", rate,
                   g->rate->burst, g->rate->reject ? "reject" : "wait");
    }
    if (g->bulkhead) {
        buf_printf(to, "    bulkhead: {max_concurrent: %u, max_queue: %u}\n",
                   g->bulkhead->max_concurrent, g->bulkhead->max_queue);
    }
}

/* A model is called through the gateway, which has the guard: a second one around it would repeat
 * the repetitions. */
static void put_fallback(const struct advice *a, const char *names, struct buf *to) {
    const int64_t least = 10 * HARDY_MILLISECOND, usual = 5 * HARDY_SECOND; /* of degrade: */
    const hardy_guard_config *g = &a->guard;
    bool llm = a->answers.depends == DEPENDS_LLM;
    int64_t all = g->deadline < ADVISE_GATHERING ? g->deadline : ADVISE_GATHERING;
    int64_t attempt = llm || g->timeout > all ? all : g->timeout;
    const struct yaml_name name = first_name(names);
    put_span(to,
             "degrade:\n  gatherings:\n    answers:\n      deadline: ", all > least ? all : least);
    buf_printf(to, "\n      components:\n        %s: {command: [./%.*s], ", name.text,
               (int)name_length(names), names);
    if (llm || attempt > usual) {
        put_span(to, "timeout: ", attempt);
        buf_puts(to, ", ");
    }
    if (!llm) {
        buf_printf(to, "guard: %s, ", name.text);
    }
    buf_printf(to, "%s} # or http: URL\n",
               a->answers.if_down == IF_DOWN_STALE ? "strategy: cache_fallback, cache: 1h"
                                                   : "strategy: partial_response");
}

static bool gathers(const struct advice *a) {
    return a->patterns[PATTERN_FALLBACK].verdict != NOT_NEEDED && advise_gathers(&a->answers);
}

void advise_configuration(const struct advice *a, const char *names, struct buf *to) {
    const struct answers *q = &a->answers;
    const struct yaml_name first = first_name(names);
    put_flags(a, names, to);
    if (!a->guarded) {
        buf_puts(to, "# It needs nothing.\n");
        return;
    }
    buf_puts(to, "guards:\n");
    for (const char *name = names; *name; name += strspn(name, " ")) {
        put_guard(a, first_name(name).text, to);
        name += name_length(name);
    }
    if (q->depends == DEPENDS_LLM) {
        buf_printf(to,
                   "upstreams: # hardy serve is between it and who calls; hardy env says how\n"
                   "  anthropic: {url: \"https://api.anthropic.com\", protocol: anthropic, guard: "
                   "%s}\n",
                   first.text);
    }
    if (gathers(a)) {
        put_fallback(a, names, to);
    }
    if (a->patterns[PATTERN_HEALING].verdict != NOT_NEEDED) {
        buf_printf(to,
                   "automation: observe # then act\n"
                   "checks:\n"
                   "  - {name: %s, http: \"http://127.0.0.1:8080/health\"} # where it answers\n"
                   "notify:\n  screen: {type: stderr}\n"
                   "heal:\n  services:\n    %s:\n"
                   "      remedies: [{actions: [restart]}]\n"
                   "      actions: {restart: {run: [./restart], timeout: 1m}}\n"
                   "      escalate: [screen]\n",
                   first.text, first.text);
    }
}

void advise_use(const struct advice *a, const char *names, struct buf *to) {
    const struct answers *q = &a->answers;
    int first = (int)name_length(names);
    if (!a->guarded) {
        return;
    }
    bool llm = q->depends == DEPENDS_LLM;
    if (llm) {
        buf_puts(to, "hardy serve & eval \"$(hardy env)\"\n");
    }
    if (a->patterns[PATTERN_CHECKPOINT].verdict != NOT_NEEDED) {
        static const char *const in_doubt[] = {
            [EFFECTS_NONE] = ", in_doubt: rerun",
            [EFFECTS_SAME] = ", in_doubt: rerun",
            [EFFECTS_KEY] = ", in_doubt: rerun",
            [EFFECTS_PROBE] = ", probe: [./find-first]",
            [EFFECTS_UNKNOWN] = "",
        };
        buf_printf(to, "hardy run workflow.yaml    # steps: [%s{name: first, run: [./first]%s",
                   q->by_hand ? "{name: agreed, approve: {expires: 24h}}, " : "",
                   in_doubt[q->effects]);
        if (!llm) {
            buf_printf(to, ", guard: %s", first_name(names).text);
        }
        buf_puts(to, "}, ...]\n");
    } else if (!llm) {
        static const char *const key[] = {
            [EFFECTS_NONE] = "",
            [EFFECTS_SAME] = "",
            [EFFECTS_KEY] = " --key KEY --in-doubt rerun", /* the far side knows the key */
            [EFFECTS_PROBE] = " --key KEY --probe COMMAND",
            [EFFECTS_UNKNOWN] = " --key KEY",
        };
        buf_printf(to, "hardy exec --name %.*s%s -- COMMAND\n", first, names, key[q->effects]);
    }
    if (gathers(a)) {
        buf_puts(to, "curl http://127.0.0.1:4274/api/v1/gather/answers    # of hardy serve\n");
    } else if (a->patterns[PATTERN_FALLBACK].verdict != NOT_NEEDED) {
        buf_printf(to, "# When it fails, what calls it goes on %s.\n",
                   q->if_down == IF_DOWN_STALE ? "with the last good answer, and tells its age"
                                               : "without it, and says that it is missing");
    }
    if (a->patterns[PATTERN_HEALING].verdict != NOT_NEEDED) {
        buf_puts(to, "hardy supervise\n");
    }
}
