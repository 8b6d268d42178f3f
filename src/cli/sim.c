/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy sim`: what callers that retry do in an outage, before production does it. */
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/sim_scenario.h"
#include "cli/terminal.h"
#include "sim/claims.h"
#include "sim/report.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)64 << 20) /* a day's series as JSON are 2 MiB */
#define NAMES_MAX 160

enum {
    OPT_MODEL = 1,
    OPT_CLIENTS,
    OPT_CAPACITY,
    OPT_OUTAGE,
    OPT_STRATEGY,
    OPT_CONTROL,
    OPT_ATTEMPTS,
    OPT_BASE_DELAY,
    OPT_MAX_DELAY,
    OPT_SEED,
    OPT_SVG,
    OPT_SCENARIO,
    OPT_GUARD,
    OPT_PRINT,
    OPT_CLAIMS,
    OPTIONS
};

static const struct option_row rows[] = {
    {OPT_MODEL, "model", 0, "A|S|O|M", "the model (S); what is not given has its own figures"},
    {OPT_CLIENTS, "clients", 0, "N", "how many call; 1 to 1000000"},
    {OPT_CAPACITY, "capacity", 0, "C", "calls that the server serves in a second"},
    {OPT_OUTAGE, "outage", 0, "DURATION", "model: how long the trouble lasts"},
    {OPT_STRATEGY, "strategy", 0, "NAME",
     "model: none, fixed, linear, exponential, full, equal, decorrelated or proportional (full)"},
    {OPT_CONTROL, "control", 0, "LIST",
     "model: of budget, breaker, throttle (or shared-...), ramp, close-rate, pace, deadline "
     "(none)"},
    {OPT_ATTEMPTS, "attempts", 0, "N", "model: calls of an operation at most; 0 is no limit"},
    {OPT_BASE_DELAY, "base-delay", 0, "DURATION",
     "model: the first exponential wait is up to twice that"},
    {OPT_MAX_DELAY, "max-delay", 0, "DURATION", "model: no wait is longer"},
    {OPT_SEED, "seed", 0, "N", "the same seed, the same run (42)"},
    {OPT_SVG, "svg", 0, "FILE", "also write a picture there"},
    {OPT_SCENARIO, "scenario", 0, "NAME|FILE",
     "instead of a model: callers of a guard of the configuration, in this outage"},
    {OPT_GUARD, "guard", 0, "NAME", "scenario: which guard; else the only one of the file"},
    {OPT_PRINT, "print", 0, NULL, "scenario: only print its file, to begin one of your own with"},
    {OPT_CLAIMS, "claims", 0, NULL,
     "measure what is often said of retries, and say what of it holds"},
    {0},
};

/* --- what the command line says ------------------------------------------------------------- */

static void join(const char *const *names, size_t count, char out[NAMES_MAX]) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(out + len, NAMES_MAX - len, "%s%s", i ? ", " : "", names[i]);
    }
}

/* The index of a name; `count` when it is none of them, and the error says so. */
static size_t find(const char *text, const char *const *names, size_t count, hardy_error *error) {
    for (size_t i = 0; i < count; i++) {
        if (str_eq(text, names[i])) {
            return i;
        }
    }
    char all[NAMES_MAX];
    join(names, count, all);
    const char *nearest = str_nearest(text, names, count);
    fail(error, HARDY_E_INVALID, NULL, "\"%s\" is none of %s%s%s%s", text, all,
         nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return count;
}

static hardy_status parse_model(const char *text, enum sim_model *model, hardy_error *error) {
    const char *names[SIM_MODELS];
    for (size_t i = 0; i < SIM_MODELS; i++) {
        names[i] = sim_model_name((enum sim_model)i);
    }
    size_t i = find(text, names, SIM_MODELS, error);
    *model = (enum sim_model)i;
    return i < SIM_MODELS ? HARDY_OK : HARDY_E_INVALID;
}

static hardy_status parse_controls(const char *text, unsigned *controls, hardy_error *error) {
    const char *names[SIM_CONTROLS + 1];
    memcpy(names, sim_control_names, sizeof sim_control_names);
    names[SIM_CONTROLS] = "none";
    for (*controls = 0; *text;) {
        char name[32];
        size_t len = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)(len < 31 ? len : 31), text);
        size_t i = find(name, names, SIM_CONTROLS + 1, error);
        if (i > SIM_CONTROLS) {
            return HARDY_E_INVALID;
        }
        *controls |= i < SIM_CONTROLS ? 1u << i : 0;
        text += len + (text[len] == ',');
    }
    return HARDY_OK;
}

static hardy_status set_option(struct sim_settings *s, int id, const char *text,
                               hardy_error *error) {
    int64_t number = 0;
    hardy_status status = HARDY_OK;
    size_t i;
    switch (id) {
    case OPT_CAPACITY:
        return parse_per_second(text, &s->capacity, error);
    case OPT_OUTAGE:
        return parse_duration(text, &s->outage, error);
    case OPT_STRATEGY:
        i = find(text, strategy_names, STRATEGY_KINDS, error);
        s->strategy.kind = (enum strategy_kind)i;
        return i < STRATEGY_KINDS ? HARDY_OK : HARDY_E_INVALID;
    case OPT_CONTROL:
        return parse_controls(text, &s->controls, error);
    case OPT_ATTEMPTS:
        status = parse_integer(text, 0, UINT32_MAX, &number, error);
        s->attempts = (uint32_t)number;
        return status;
    case OPT_BASE_DELAY:
        return parse_duration(text, &s->strategy.base, error);
    case OPT_MAX_DELAY:
        return parse_duration(text, &s->strategy.cap, error);
    case OPT_SEED:
        status = parse_integer(text, 0, INT64_MAX, &number, error);
        s->seed = (uint64_t)number;
        return status;
    default:
        return HARDY_OK;
    }
}

/* An error that is about the value of an option names it. */
static hardy_status of_option(int id, hardy_status status, hardy_error *error) {
    if (status == HARDY_OK || error == NULL || error->where[0] != '\0') {
        return status;
    }
    char option[32], message[sizeof error->message];
    snprintf(option, sizeof option, "--%s", rows[id - OPT_MODEL].name);
    str_copy(message, sizeof message, error->message);
    return fail(error, status, option, "%s", message);
}

/* Model and clients come first: what is not given follows from them. */
static hardy_status settings_read(const char *const given[OPTIONS], struct sim_settings *s,
                                  hardy_error *error) {
    enum sim_model model = SIM_S;
    int64_t clients = 0;
    hardy_status status = HARDY_OK;
    if (given[OPT_MODEL]) {
        status = of_option(OPT_MODEL, parse_model(given[OPT_MODEL], &model, error), error);
    }
    if (status == HARDY_OK && given[OPT_CLIENTS]) {
        status = parse_integer(given[OPT_CLIENTS], 1, SIM_CLIENTS_MAX, &clients, error);
        status = of_option(OPT_CLIENTS, status, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    sim_settings_init(s, model, (uint32_t)clients);
    for (int id = OPT_CAPACITY; id <= OPT_SEED && status == HARDY_OK; id++) {
        if (given[id]) {
            status = of_option(id, set_option(s, id, given[id], error), error);
        }
    }
    return status == HARDY_OK ? sim_settings_check(s, error) : status;
}

/* --- the result ----------------------------------------------------------------------------- */

/* A person's table, or JSON, as it goes to standard output. */
static hardy_status print(struct buf *text, hardy_error *error) {
    if (text->failed) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the result");
    }
    fwrite(text->data, 1, text->len, stdout);
    return HARDY_OK;
}

static void put_report(const struct report *r, struct buf *out) {
    buf_printf(out, "%s\n\n", r->title);
    chart_plot(&r->chart, terminal_columns(STDOUT_FILENO), terminal_is_utf8(), out);
    buf_putc(out, '\n');
    report_figures(r, out);
    if (r->settings->capacity > 0) {
        buf_putc(out, '\n');
        report_plan(r, out);
    }
}

static hardy_status tell(const struct options *o, const struct report *r, const char *svg,
                         hardy_error *error) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    (o->globals.json ? report_json : put_report)(r, &text);
    hardy_status status = print(&text, error);
    if (status == HARDY_OK && svg) {
        status = sim_picture(&r->chart, svg, error);
    }
    buf_free(&text);
    return status;
}

/* --- the command ---------------------------------------------------------------------------- */

static int simulate(const struct options *o, const struct sim_settings *s, const char *svg) {
    hardy_error error;
    struct sim_result result;
    struct report report = {0};
    hardy_error_init(&error, sizeof error);
    hardy_status status = sim_run(s, &result, &error);
    if (status == HARDY_OK) {
        status = report_open(&report, s, &result, &error);
    }
    if (status == HARDY_OK) {
        status = tell(o, &report, svg, &error);
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
    }
    report_close(&report);
    sim_result_free(&result);
    return status == HARDY_OK ? EXIT_DONE : EXIT_FAILED;
}

static int run_claims(const struct options *o, const char *const given[OPTIONS]) {
    struct claims claims;
    struct buf text;
    hardy_error error;
    for (int id = 1; id < OPT_CLAIMS; id++) {
        if (given[id]) {
            return options_wrong(o, "--%s does not go with --claims, which has its own runs",
                                 rows[id - 1].name);
        }
    }
    hardy_error_init(&error, sizeof error);
    buf_init(&text, TEXT_MAX);
    hardy_status status = claims_measure(&claims, &error);
    if (status == HARDY_OK) {
        (o->globals.json ? claims_json : claims_text)(&claims, &text);
        status = print(&text, &error);
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
    }
    buf_free(&text);
    return status == HARDY_OK ? EXIT_DONE : EXIT_FAILED;
}

/* Of the models' options a scenario takes those that say how many, and the seed. */
static int run_scenario(const struct options *o, const char *const given[OPTIONS]) {
    for (int id = OPT_MODEL; id < OPT_SEED; id++) {
        if (given[id] && id != OPT_CLIENTS && id != OPT_CAPACITY) {
            return options_wrong(o,
                                 "--%s goes with a model, not with a scenario: there the guard "
                                 "and the scenario's file say it",
                                 rows[id - 1].name);
        }
    }
    const struct sim_scenario ask = {.name = given[OPT_SCENARIO],
                                     .guard = given[OPT_GUARD],
                                     .svg = given[OPT_SVG],
                                     .clients = given[OPT_CLIENTS],
                                     .capacity = given[OPT_CAPACITY],
                                     .seed = given[OPT_SEED],
                                     .print = given[OPT_PRINT] != NULL};
    return sim_scenario_run(o, &ask);
}

static int run(struct options *o) {
    const char *given[OPTIONS] = {0};
    struct sim_settings settings;
    hardy_error error;
    int id;
    while ((id = options_next(o)) > 0) {
        given[id] = o->value ? o->value : "";
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "\"%s\" is too much", o->argv[0]);
    }
    if (given[OPT_SCENARIO] && !given[OPT_CLAIMS]) {
        return run_scenario(o, given);
    }
    if (o->globals.config) {
        return options_wrong(o, "--config goes with --scenario: models have no guard");
    }
    if (given[OPT_CLAIMS]) {
        return run_claims(o, given);
    }
    for (id = OPT_GUARD; id <= OPT_PRINT; id++) {
        if (given[id]) {
            return options_wrong(o, "--%s goes with --scenario", rows[id - 1].name);
        }
    }
    hardy_error_init(&error, sizeof error);
    if (settings_read(given, &settings, &error) != HARDY_OK) {
        say_error(o, &error);
        return EXIT_USAGE;
    }
    return simulate(o, &settings, given[OPT_SVG]);
}

const struct command command_sim = {
    .name = "sim",
    .synopsis = "[--model A|S|O|M] [--clients N] [--capacity C] [OPTION]...\n"
                "[-c FILE] --scenario NAME|FILE [--guard NAME] [OPTION]...\n"
                "--claims",
    .summary = "simulate what callers that retry do in an outage",
    .details =
        "The policies of the library, in virtual time, with one seed: the same command line has "
        "the same result.\n\n"
        "Model A is contention for one row, without a limit of capacity. S is a herd: all clients "
        "find the service dead, and are there when it comes back. O has operations that arrive "
        "whatever became of those before. In M the trouble is short and over, but calls that "
        "nobody waits for any more may keep the server from recovering.\n\n"
        "A scenario runs a guard of the configuration as production would, for many callers, "
        "through an outage, and says what became of it and which setting would change that; "
        "without a configuration it is the guard that the gateway has for language models. The "
        "scenarios are 3am, outage, hang, brownout, slow-start, 429-storm, herd, metastable and "
        "transactions; "
        "docs/sim.md tells of them, and of files with your own.\n\n"
        "Both end with a plan: which longest wait, number of attempts and rate are safe for so "
        "many "
        "callers and such a capacity. --claims measures in each model what is often said of "
        "retries: how high the peak is, how many calls a breaker saves, how soon a service is "
        "back.\n\n"
        "Exit code: 0 whatever came out, 1 it could not be run or written, 2 something asked for "
        "is wrong.",
    .examples = "hardy sim --model S --clients 1000 --strategy full --control shared-breaker,pace\n"
                "hardy sim --model M --strategy exponential --json\n"
                "hardy sim --claims\n"
                "hardy sim --scenario 3am\n"
                "hardy sim --scenario herd --print\n"
                "hardy sim -c hardy.yaml --guard search --scenario outage --svg outage.svg    # "
                "needs a configuration",
    .options = rows,
    .run = run,
};
