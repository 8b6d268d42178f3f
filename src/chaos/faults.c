/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/faults.h"
#include "base/error.h"
#include "base/str.h"
#include "http/message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define RULE_TEXT_MAX ((size_t)64 * 1024)

/* What a kind of fault can be told besides when it comes. */
enum {
    TAKES_STATUS = 1,
    TAKES_RETRY_AFTER = 2,
    TAKES_HEADERS = 4,
    TAKES_ERROR = 8, /* error_type, error_code */
    TAKES_MESSAGE = 16,
    TAKES_EVENTS = 32,
    TAKES_DELAY = 64
};
static const unsigned takes[FAULT_KINDS] = {
    [FAULT_OVERLOADED] = TAKES_RETRY_AFTER | TAKES_HEADERS | TAKES_MESSAGE,
    [FAULT_STATUS] = TAKES_STATUS | TAKES_RETRY_AFTER | TAKES_HEADERS | TAKES_ERROR | TAKES_MESSAGE,
    [FAULT_RATE_LIMIT] = TAKES_RETRY_AFTER | TAKES_HEADERS | TAKES_ERROR | TAKES_MESSAGE,
    [FAULT_HANG] = TAKES_DELAY,
    [FAULT_SLOW_FIRST] = TAKES_DELAY,
    [FAULT_ERROR_EVENT] = TAKES_STATUS | TAKES_ERROR | TAKES_MESSAGE | TAKES_EVENTS,
    [FAULT_CUT] = TAKES_EVENTS,
    [FAULT_RESET_AFTER] = TAKES_EVENTS,
    [FAULT_MALFORMED] = TAKES_EVENTS,
    [FAULT_SILENCE] = TAKES_EVENTS | TAKES_DELAY,
    [FAULT_TRUNCATED] = TAKES_EVENTS,
};

static const char *const kind_words[] = {[FAULT_OVERLOADED] = "overloaded",
                                         [FAULT_STATUS] = "status",
                                         [FAULT_RATE_LIMIT] = "rate_limit",
                                         [FAULT_RESET] = "reset",
                                         [FAULT_HANG] = "hang",
                                         [FAULT_SLOW_FIRST] = "slow_first",
                                         [FAULT_ERROR_EVENT] = "error_event",
                                         [FAULT_CUT] = "cut",
                                         [FAULT_RESET_AFTER] = "reset_after",
                                         [FAULT_MALFORMED] = "malformed",
                                         [FAULT_SILENCE] = "silence",
                                         [FAULT_TRUNCATED] = "truncated",
                                         [FAULT_KINDS] = NULL};

const char *fault_kind_text(int kind) {
    return kind >= 0 && kind < FAULT_KINDS ? kind_words[kind] : NULL;
}

static const struct schema_key rule_keys[] = {
    {.name = "fail",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct fault_rule, fail),
     .words = kind_words,
     .required = true,
     .help = "what happens to the call"},
    {.name = "from",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct fault_rule, from),
     .def = "0s",
     .help = "applies from this time after the start on"},
    {.name = "for",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct fault_rule, span),
     .def = "never",
     .min = "1ms",
     .never = true,
     .also = "for_span duration",
     .help = "and for so long; never: without an end"},
    {.name = "first",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct fault_rule, first),
     .min = "1",
     .help = "only the first so many attempts of each key"},
    {.name = "every",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct fault_rule, every),
     .min = "1",
     .help = "only each attempt of a key whose number is a multiple of this"},
    {.name = "share",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct fault_rule, share),
     .def = "1",
     .min = "0",
     .max = "1",
     .also = "probability ratio",
     .help = "only this share of the attempts, chosen by seed, key and attempt"},
    {.name = "path",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct fault_rule, path),
     .help = "only paths that end like this, such as /messages"},
    {.name = "model",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct fault_rule, model),
     .help = "only this model; * in it stands for anything"},
    {.name = "stream",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct fault_rule, stream),
     .given_offset = offsetof(struct fault_rule, stream_given),
     .help = "only streamed calls, or only others"},
    {.name = "status",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct fault_rule, status),
     .min = "400",
     .max = "599",
     .also = "code",
     .help = "of the answer; error_event: that the error stands for"},
    {.name = "retry_after",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct fault_rule, retry_after),
     .given_offset = offsetof(struct fault_rule, retry_after_given),
     .max = "1d",
     .help = "how long the answer asks to wait; rate_limit: 5s without it"},
    {.name = "headers",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct fault_rule, headers),
     .help = "a map of further headers of the answer"},
    {.name = "error_type",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct fault_rule, error_type),
     .help = "the error's type; else the one of the status"},
    {.name = "error_code",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct fault_rule, error_code),
     .help = "the error's code, such as enforced_spend_limit_reached"},
    {.name = "message",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct fault_rule, message),
     .help = "the error's text"},
    {.name = "after_events",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct fault_rule, after_events),
     .given_offset = offsetof(struct fault_rule, after_events_given),
     .max = "1000000",
     .help = "events of the stream that come before it; else those before the first content"},
    {.name = "delay",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct fault_rule, delay),
     .given_offset = offsetof(struct fault_rule, delay_given),
     .def = "30s",
     .min = "1ms",
     .max = "1d",
     .help = "how long slow_first and silence say nothing; hang: 1h without it, then a reset"},
};
static const struct schema_section rule_section = {"faults", rule_keys, COUNT(rule_keys),
                                                   sizeof(struct fault_rule)};

static const struct schema_key faults_keys[] = {
    {.name = "seed",
     .kind = SCHEMA_INTEGER,
     .offset = offsetof(struct faults, seed),
     .def = "1",
     .min = "0",
     .help = "of what is chosen by share, and of the identifiers in answers"},
    {.name = "pace",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct faults, pace),
     .def = "5ms",
     .max = "1h",
     .help = "time between two events of a stream"},
    {.name = "think",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct faults, think),
     .def = "50ms",
     .max = "1h",
     .help = "time before an answer begins"},
    {.name = "words",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct faults, words),
     .def = "40",
     .min = "2",
     .max = "10000",
     .help = "pieces of an answer's text, each an event of its own when it is streamed"},
    {.name = "faults",
     .kind = SCHEMA_LIST,
     .offset = offsetof(struct faults, rules),
     .section = &rule_section,
     .help = "rules; the first that applies to a call decides"},
};
const struct schema_section faults_section = {"the fault file", faults_keys, COUNT(faults_keys),
                                              sizeof(struct faults)};

/* --- what the table cannot say -------------------------------------------------------------- */

struct checking {
    schema_report report;
    void *ctx;
    size_t problems;
};

static void refuse(struct checking *c, const struct yaml_node *node, const char *format, ...)
    HARDY_PRINTF(3, 4);
static void refuse(struct checking *c, const struct yaml_node *node, const char *format, ...) {
    hardy_error problem;
    char message[sizeof problem.message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    hardy_error_init(&problem, sizeof problem);
    yaml_fail(node, &problem, "%s", message);
    c->problems++;
    c->report(c->ctx, &problem);
}

/* A key that would change nothing is a mistake of whoever wrote it. */
static void check_takes(struct checking *c, const struct yaml_node *node,
                        const struct fault_rule *rule) {
    static const struct {
        const char *key;
        unsigned takes;
    } keys[] = {{"status", TAKES_STATUS},       {"retry_after", TAKES_RETRY_AFTER},
                {"headers", TAKES_HEADERS},     {"error_type", TAKES_ERROR},
                {"error_code", TAKES_ERROR},    {"message", TAKES_MESSAGE},
                {"after_events", TAKES_EVENTS}, {"delay", TAKES_DELAY}};
    for (size_t i = 0; i < node->count; i++) {
        size_t k = 0;
        while (k < COUNT(keys) && !str_eq(keys[k].key, node->keys[i]->text)) {
            k++;
        }
        if (k == COUNT(keys) || (takes[rule->fail] & keys[k].takes)) {
            continue;
        }
        struct buf kinds;
        buf_init(&kinds, 512);
        for (int kind = 0; kind < FAULT_KINDS; kind++) {
            if (takes[kind] & keys[k].takes) {
                buf_printf(&kinds, "%s%s", kinds.len > 0 ? ", " : "", kind_words[kind]);
            }
        }
        refuse(c, node->keys[i], "`%s` changes nothing with fail: %s; it goes with %s", keys[k].key,
               kind_words[rule->fail], kinds.data ? kinds.data : "others");
        buf_free(&kinds);
    }
}

static void check_headers(struct checking *c, const struct yaml_node *headers) {
    struct http_headers list;
    if (headers->kind != YAML_MAP) {
        refuse(c, headers, "`headers` is %s; expected a map such as {x-should-retry: \"false\"}",
               yaml_kind_text(headers));
        return;
    }
    http_headers_init(&list, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    for (size_t i = 0; i < headers->count; i++) {
        const char *name = headers->keys[i]->text;
        const struct yaml_node *value = headers->items[i];
        if (!http_is_token(name, strlen(name))) {
            refuse(c, headers->keys[i], "`%s` cannot be the name of a header", name);
        } else if (http_is_framing(name)) {
            refuse(c, headers->keys[i],
                   "the header `%s` belongs to the connection and is not for a rule; truncated, "
                   "cut and reset break it",
                   name);
        } else if (value->kind != YAML_SCALAR) {
            refuse(c, value, "the header `%s` is %s; expected text", name, yaml_kind_text(value));
        } else if (http_headers_add(&list, name, value->text) != HARDY_OK) {
            refuse(c, value,
                   "the header `%s` has a control character in its value, or there is too much",
                   name);
        }
    }
    http_headers_free(&list);
}

static void check_rules(struct checking *c, const struct yaml_node *root, const struct faults *f) {
    const struct yaml_node *nodes = yaml_get(root, "faults");
    const struct fault_rule *rules = f->rules.items;
    for (size_t i = 0; i < f->rules.count; i++) {
        const struct yaml_node *node = nodes->items[i];
        if (rules[i].fail == FAULT_STATUS && rules[i].status == 0) {
            refuse(c, node, "`status` is missing; fail: status needs one from 400 to 599");
        }
        check_takes(c, node, &rules[i]);
        if (rules[i].headers) {
            check_headers(c, rules[i].headers);
        }
    }
}

/* --- reading -------------------------------------------------------------------------------- */

static void take_first(void *ctx, const hardy_error *problem) {
    hardy_error *first = ctx;
    if (first && first->status == HARDY_OK) {
        fail(first, problem->status, problem->where, "%s", problem->message);
    }
}

size_t faults_check(const struct yaml_node *root, schema_report report, void *ctx) {
    struct faults f;
    struct checking c = {.report = report, .ctx = ctx};
    c.problems = schema_check(&faults_section, root, report, ctx);
    if (c.problems > 0) {
        return c.problems;
    }
    if (schema_read(&faults_section, root, &f, NULL) == HARDY_OK) {
        check_rules(&c, root, &f);
    }
    schema_free(&faults_section, &f);
    return c.problems;
}

hardy_status faults_defaults(struct faults *out) {
    return schema_defaults(&faults_section, out);
}

/* Each rule as text, for the journal: it reads there as in the file. */
static hardy_status keep_texts(struct faults *f, hardy_error *error) {
    const struct yaml_node *nodes = yaml_get(f->file->root, "faults");
    struct fault_rule *rules = f->rules.items;
    for (size_t i = 0; i < f->rules.count; i++) {
        struct buf text;
        buf_init(&text, RULE_TEXT_MAX);
        yaml_to_json(nodes->items[i], &text);
        rules[i].text = text.failed ? NULL : yaml_keep(f->file, text.data, text.len);
        bool large = text.full;
        buf_free(&text);
        if (!rules[i].text) {
            return large ? yaml_fail(nodes->items[i], error, "a rule of more than 64 KiB")
                         : fail(error, HARDY_E_NOMEM, NULL, "no memory for rules");
        }
    }
    return HARDY_OK;
}

static hardy_status take_file(struct yaml_file *file, struct faults *out, hardy_error *error) {
    hardy_status status = schema_read(&faults_section, file->root, out, error);
    out->file = file;
    if (status == HARDY_OK) {
        hardy_error first;
        hardy_error_init(&first, sizeof first);
        struct checking c = {.report = take_first, .ctx = &first};
        check_rules(&c, file->root, out);
        if (c.problems > 0) {
            return fail(error, first.status, first.where, "%s", first.message);
        }
        status = keep_texts(out, error);
    }
    return status;
}

hardy_status faults_load(const char *path, struct faults *out, hardy_error *error) {
    struct yaml_file *file;
    *out = (struct faults){0};
    hardy_status status = yaml_load(path, &file, error);
    return status == HARDY_OK ? take_file(file, out, error) : status;
}

hardy_status faults_parse(const char *path, const char *bytes, size_t len, struct faults *out,
                          hardy_error *error) {
    struct yaml_file *file;
    *out = (struct faults){0};
    hardy_status status = yaml_parse(path, bytes, len, &file, error);
    return status == HARDY_OK ? take_file(file, out, error) : status;
}

void faults_free(struct faults *f) {
    schema_free(&faults_section, f);
    yaml_close(f->file);
    *f = (struct faults){0};
}
