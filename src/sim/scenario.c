/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenario.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define STRINGS(x) #x
#define TEXT(x) STRINGS(x)

/* --- the table ------------------------------------------------------------------------------ */

static const char *const fail_words[] = {
    [SCENARIO_DOWN] = "down",
    [SCENARIO_RESET] = "reset",
    [SCENARIO_HANG] = "hang",
    [SCENARIO_STATUS] = "status",
    [SCENARIO_OVERLOADED] = "overloaded",
    [SCENARIO_RATE_LIMIT] = "rate_limit",
    [SCENARIO_SLOW_FIRST] = "slow_first",
    NULL,
};
static const char *const full_words[] = {"overloaded", "rate_limit", NULL};
static const char *const abandoned_words[] = {"executed", "dropped", NULL};

static const struct schema_key phase_keys[] = {
    {"name", SCHEMA_STRING, offsetof(struct scenario_phase, name),
     .help = "how tables and pictures call it; else what it does"},
    {"from", SCHEMA_DURATION, offsetof(struct scenario_phase, from), .required = true, .max = "1d",
     .help = "begins so long after the start"},
    {"for", SCHEMA_DURATION, offsetof(struct scenario_phase, span), .required = true, .min = "1ms",
     .max = "1d", .also = "for_span duration", .help = "and lasts so long"},
    {"fail", SCHEMA_ENUM, offsetof(struct scenario_phase, fail), .words = fail_words,
     .help = "what happens to calls; the first phase that applies to a call decides"},
    {"share", SCHEMA_NUMBER, offsetof(struct scenario_phase, share), .def = "1", .min = "0",
     .max = "1", .also = "probability ratio", .help = "only to this share of them"},
    {"capacity", SCHEMA_NUMBER, offsetof(struct scenario_phase, capacity), .def = "1", .min = "0",
     .max = "1", .help = "share of the server's capacity that is left"},
    {"status", SCHEMA_UNSIGNED, offsetof(struct scenario_phase, status), .min = "400", .max = "599",
     .also = "code", .help = "status: of the answer"},
    {"retry_after", SCHEMA_DURATION, offsetof(struct scenario_phase, retry_after), .max = "1d",
     .given_offset = offsetof(struct scenario_phase, given_retry_after),
     .help = "status, overloaded, rate_limit: how long the answer asks to wait"},
    {"delay", SCHEMA_DURATION, offsetof(struct scenario_phase, delay), .def = "30s", .min = "1ms",
     .max = "1d", .given_offset = offsetof(struct scenario_phase, given_delay),
     .help = "slow_first: the answer comes so much later; hang: 1h without it, then a reset"},
};
static const struct schema_section phase_section = {"phases", phase_keys, COUNT(phase_keys),
                                                    sizeof(struct scenario_phase)};

static const struct schema_key clients_keys[] = {
    {"count", SCHEMA_UNSIGNED, offsetof(struct scenario_clients, count), .def = "1000", .min = "1",
     .max = TEXT(SCENARIO_CLIENTS_MAX), .also = "clients n", .help = "how many call"},
    {"think", SCHEMA_DURATION, offsetof(struct scenario_clients, think), .def = "10s", .min = "1ms",
     .max = "1d", .given_offset = offsetof(struct scenario_clients, given_think),
     .help = "each waits on average so long after an answer before it calls again"},
    {"rate", SCHEMA_RATE, offsetof(struct scenario_clients, rate),
     .given_offset = offsetof(struct scenario_clients, given_rate), .also = "arrivals",
     .help = "instead of think: each begins so many calls, whatever became of those before"},
};
static const struct schema_section clients_section = {"clients", clients_keys, COUNT(clients_keys),
                                                      sizeof(struct scenario_clients)};

static const struct schema_key server_keys[] = {
    {"capacity", SCHEMA_RATE, offsetof(struct scenario_server, capacity), .def = "200/s",
     .help = "calls that it can serve, one after the other"},
    {"service_time", SCHEMA_DURATION, offsetof(struct scenario_server, service_time),
     .def = "200ms", .max = "1h", .also = "latency", .help = "from a call's turn to its answer"},
    {"queue", SCHEMA_DURATION, offsetof(struct scenario_server, queue), .def = "1s", .max = "1d",
     .help = "who would wait longer for a turn is refused at once"},
    {"when_full", SCHEMA_ENUM, offsetof(struct scenario_server, when_full), .def = "overloaded",
     .words = full_words, .help = "how it is refused: 529, or 429"},
    {"retry_after", SCHEMA_DURATION, offsetof(struct scenario_server, retry_after), .def = "0s",
     .max = "1d", .help = "how long that answer asks to wait; 0s: it does not say"},
    {"abandoned", SCHEMA_ENUM, offsetof(struct scenario_server, abandoned), .def = "executed",
     .words = abandoned_words, .help = "what becomes of a call in the queue whose caller has gone"},
};
static const struct schema_section server_section = {"server", server_keys, COUNT(server_keys),
                                                     sizeof(struct scenario_server)};

static const struct schema_key scenario_keys[] = {
    {"about", SCHEMA_STRING, offsetof(struct scenario, about), .help = "what it shows, in a line"},
    {"duration", SCHEMA_DURATION, offsetof(struct scenario, duration), .def = "10m", .min = "1s",
     .max = "1d", .help = "how long all of it lasts"},
    {"clients", SCHEMA_MAP, offsetof(struct scenario, clients), .section = &clients_section,
     .shorthand = "count", .help = "who calls; a number is short for {count: it}"},
    {"server", SCHEMA_MAP, offsetof(struct scenario, server), .section = &server_section,
     .shorthand = "capacity", .help = "what answers; a rate is short for {capacity: it}"},
    {"phases", SCHEMA_LIST, offsetof(struct scenario, phases), .section = &phase_section,
     .required = true, .help = "what goes wrong, and when"},
};
const struct schema_section scenario_section = {"a scenario", scenario_keys, COUNT(scenario_keys),
                                                sizeof(struct scenario)};

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

static void check_phase(struct checking *c, const struct yaml_node *node,
                        const struct scenario_phase *p, int64_t duration) {
    bool answers = p->fail == SCENARIO_STATUS || p->fail == SCENARIO_OVERLOADED ||
                   p->fail == SCENARIO_RATE_LIMIT;
    if (p->fail == SCENARIO_NOTHING && !yaml_get(node, "capacity")) {
        refuse(c, node, "a phase in which nothing goes wrong; expected `fail` or `capacity`");
    }
    if (p->fail == SCENARIO_STATUS && p->status == 0) {
        refuse(c, node, "`status` is missing; fail: status needs one from 400 to 599");
    }
    if (p->fail != SCENARIO_STATUS && p->status != 0) {
        refuse(c, yaml_get(node, "status"), "`status` changes nothing without fail: status");
    }
    if (p->given_retry_after && !answers) {
        refuse(c, yaml_get(node, "retry_after"),
               "`retry_after` changes nothing here; it goes with status, overloaded, rate_limit");
    }
    if (p->given_delay && p->fail != SCENARIO_SLOW_FIRST && p->fail != SCENARIO_HANG) {
        refuse(c, yaml_get(node, "delay"),
               "`delay` changes nothing here; it goes with slow_first and hang");
    }
    if (p->fail == SCENARIO_NOTHING && yaml_get(node, "share")) {
        refuse(c, yaml_get(node, "share"), "`share` changes nothing without `fail`");
    }
    if (p->from >= duration) {
        char from[48], end[48];
        format_duration(p->from, from);
        format_duration(duration, end);
        refuse(c, yaml_get(node, "from"), "begins at %s, when the scenario has ended (duration %s)",
               from, end);
    }
}

static void check_rest(struct checking *c, const struct yaml_node *root, const struct scenario *s) {
    const struct yaml_node *nodes = yaml_get(root, "phases");
    const struct scenario_phase *phases = s->phases.items;
    if (s->phases.count == 0) {
        refuse(c, nodes, "no phase: nothing goes wrong in this scenario");
    }
    for (size_t i = 0; i < s->phases.count; i++) {
        check_phase(c, nodes->items[i], &phases[i], s->duration);
    }
    if (s->clients.given_think && s->clients.given_rate) {
        refuse(c, yaml_get(yaml_get(root, "clients"), "rate"),
               "`think` and `rate` are two ways to call: give one of them");
    }
}

static void take_first(void *ctx, const hardy_error *problem) {
    hardy_error *first = ctx;
    if (first->status == HARDY_OK) {
        fail(first, problem->status, problem->where, "%s", problem->message);
    }
}

size_t scenario_check(const struct yaml_node *root, schema_report report, void *ctx) {
    struct scenario s;
    struct checking c = {.report = report, .ctx = ctx};
    c.problems = schema_check(&scenario_section, root, report, ctx);
    if (c.problems > 0) {
        return c.problems;
    }
    if (schema_read(&scenario_section, root, &s, NULL) == HARDY_OK) {
        check_rest(&c, root, &s);
    }
    schema_free(&scenario_section, &s);
    return c.problems;
}

/* --- reading -------------------------------------------------------------------------------- */

/* A terminal would obey what else is in a text. */
static void printable(struct scenario *s) {
    struct scenario_phase *phases = s->phases.items;
    if (s->about) {
        str_make_printable(s->about);
    }
    for (size_t i = 0; i < s->phases.count; i++) {
        if (phases[i].name) {
            str_make_printable(phases[i].name);
        }
    }
}

static hardy_status take_file(struct scenario *out, hardy_error *error) {
    struct yaml_file *file = out->file;
    hardy_status status = schema_read(&scenario_section, file->root, out, error);
    out->file = file;
    if (status != HARDY_OK) {
        return status;
    }
    printable(out);
    hardy_error first;
    hardy_error_init(&first, sizeof first);
    struct checking c = {.report = take_first, .ctx = &first};
    check_rest(&c, file->root, out);
    return c.problems == 0 ? HARDY_OK : fail(error, first.status, first.where, "%s", first.message);
}

/* Not a file's name, so that a word that is misspelt is not looked for on the disk. */
static bool looks_like_name(const char *name) {
    return str_valid_name(name) && !strchr(name, '.');
}

static hardy_status unknown(const char *name, hardy_error *error) {
    const char *names[16];
    size_t count = 0;
    struct buf list;
    buf_init(&list, 512);
    for (const struct scenario_builtin *b = scenario_builtins; b->name; b++) {
        buf_printf(&list, "%s%s", count > 0 ? ", " : "", b->name);
        names[count++] = b->name;
    }
    const char *near = str_nearest(name, names, count);
    hardy_status status = fail(error, HARDY_E_NOT_FOUND, "--scenario",
                               "no scenario \"%s\"%s%s%s; there are %s, and "
                               "files such as ./mine.yaml",
                               name, near ? ", did you mean \"" : "", near ? near : "",
                               near ? "\"?" : "", list.data ? list.data : "");
    buf_free(&list);
    return status;
}

hardy_status scenario_parse(const char *name, const char *text, size_t len, struct scenario *out,
                            hardy_error *error) {
    memset(out, 0, sizeof *out);
    hardy_status status = yaml_parse(name, text, len, &out->file, error);
    return status == HARDY_OK ? take_file(out, error) : status;
}

hardy_status scenario_load(const char *name, struct scenario *out, hardy_error *error) {
    const struct scenario_builtin *b = scenario_builtins;
    while (b->name && !str_eq(b->name, name)) {
        b++;
    }
    if (b->name) {
        return scenario_parse(name, b->text, strlen(b->text), out, error);
    }
    memset(out, 0, sizeof *out);
    if (looks_like_name(name)) {
        return unknown(name, error);
    }
    hardy_status status = yaml_load(name, &out->file, error);
    return status == HARDY_OK ? take_file(out, error) : status;
}

void scenario_free(struct scenario *s) {
    schema_free(&scenario_section, s);
    yaml_close(s->file);
    memset(s, 0, sizeof *s);
}

/* --- looking at one ------------------------------------------------------------------------- */

double scenario_per_second(struct rate rate) {
    return rate.events * (double)HARDY_SECOND / (double)rate.period;
}

int64_t scenario_trouble_from(const struct scenario *s) {
    const struct scenario_phase *phases = s->phases.items;
    int64_t from = s->duration;
    for (size_t i = 0; i < s->phases.count; i++) {
        from = phases[i].from < from ? phases[i].from : from;
    }
    return from;
}

int64_t scenario_trouble_until(const struct scenario *s) {
    const struct scenario_phase *phases = s->phases.items;
    int64_t to = 0;
    for (size_t i = 0; i < s->phases.count; i++) {
        int64_t end = time_add(phases[i].from, phases[i].span);
        to = end > to ? end : to;
    }
    return to < s->duration ? to : s->duration;
}

const char *scenario_phase_text(const struct scenario_phase *p) {
    return p->name ? p->name : p->fail == SCENARIO_NOTHING ? "less capacity" : fail_words[p->fail];
}
