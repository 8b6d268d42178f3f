/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy sim --scenario`: the guard of a configuration through an outage, and what came of it. */
#include "cli/sim_scenario.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/terminal.h"
#include "gateway/settings.h"
#include "io/file.h"
#include "sim/story.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)64 << 20) /* a day's series as JSON are 2 MiB */
#define NAMES_MAX 64
#define WARNINGS_MAX 32
#define SEED 42

struct play { /* everything of one run */
    const struct options *o;
    const struct sim_scenario *ask;
    struct scenario scenario;
    struct config *config;
    struct guard_settings guard;
    enum guard_base base;
    struct fleet_result *result;
    struct measures measures;
    struct remedies *remedies;
    struct chart chart;
    char *explained;
    const char *warnings[WARNINGS_MAX + 1];
    uint64_t seed;
};

/* --- which guard ---------------------------------------------------------------------------- */

static hardy_status read_guard(struct play *p, const char *name, bool of_file, hardy_error *error) {
    if (of_file) {
        return guard_settings_find(p->config, name, p->base, &p->guard, error);
    }
    struct guard_source source = {.base = p->base, .name = name};
    return guard_settings_read(&source, &p->guard, error);
}

/* "a, b, c" of the guards that the file has. */
static void list_guards(const struct yaml_node *guards, struct buf *out) {
    for (size_t i = 0; guards && i < guards->count; i++) {
        buf_printf(out, "%s%s", i > 0 ? ", " : "", guards->keys[i]->text);
    }
}

static hardy_status choose_guard(struct play *p, const struct gateway_settings *gateway,
                                 hardy_error *error) {
    const struct yaml_node *guards = config_section(p->config, "guards");
    size_t count = guards && guards->kind == YAML_MAP ? guards->count : 0;
    const char *name = p->ask->guard;
    if (!name && !p->config->file) {
        p->base = GUARD_LLM;
        return read_guard(p, "llm", false, error);
    }
    if (!name && count == 1) {
        name = guards->keys[0]->text;
    }
    if (!name) {
        struct buf names;
        buf_init(&names, 512);
        list_guards(guards, &names);
        hardy_status status =
            count == 0 ? fail(error, HARDY_E_INVALID, p->config->path,
                              "it has no guards, so there is nothing to simulate; --guard NAME "
                              "takes the one that an upstream has without them, such as anthropic")
                       : fail(error, HARDY_E_INVALID, p->config->path,
                              "it has %zu guards: say which with --guard; %s", count,
                              names.data ? names.data : "");
        buf_free(&names);
        return status;
    }
    p->base = GUARD_DEFAULTS;
    bool of_upstream = gateway_guard_base(gateway, name, &p->base);
    bool of_file = yaml_get(guards, name) != NULL;
    return read_guard(p, name, of_file || !of_upstream, error);
}

static hardy_status find_guard(struct play *p, hardy_error *error) {
    struct gateway_settings gateway = {0};
    hardy_status status = config_load(p->o->globals.config, &p->config, error);
    if (status == HARDY_OK) {
        status = gateway_settings_look(p->config, &gateway, error);
    }
    if (status == HARDY_OK) {
        status = choose_guard(p, &gateway, error);
    }
    gateway_settings_free(&gateway);
    return status;
}

/* --- what is asked -------------------------------------------------------------------------- */

static hardy_status set(struct play *p, const char *path, const char *text, const char *flag,
                        hardy_error *error) {
    return text ? schema_set(&scenario_section, path, text, flag, true, &p->scenario, error)
                : HARDY_OK;
}

static hardy_status read_ask(struct play *p, hardy_error *error) {
    const struct sim_scenario *ask = p->ask;
    int64_t seed = SEED;
    struct buf rate;
    buf_init(&rate, 64);
    hardy_status status = scenario_load(ask->name, &p->scenario, error);
    if (status == HARDY_OK) {
        status = set(p, "clients.count", ask->clients, "--clients", error);
    }
    if (status == HARDY_OK && ask->capacity) { /* a number is so many a second */
        buf_printf(&rate, "%s%s", ask->capacity, strchr(ask->capacity, '/') ? "" : "/s");
        status = set(p, "server.capacity", rate.data ? rate.data : "", "--capacity", error);
    }
    if (status == HARDY_OK && ask->seed) {
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        status = parse_integer(ask->seed, 0, INT64_MAX, &seed, &why);
        status = status == HARDY_OK ? status : fail(error, status, "--seed", "%s", why.message);
    }
    p->seed = (uint64_t)seed;
    buf_free(&rate);
    return status;
}

/* --- running -------------------------------------------------------------------------------- */

static bool retries(void *ctx, int code) {
    return guard_retries_status(ctx, code);
}

/* What hardy says of settings that cannot hold together: the lines that begin with "warning: ". */
static hardy_status explain(struct play *p, hardy_error *error) {
    static const char mark[] = "warning: ";
    hardy_guard *guard = NULL;
    hardy_status status = hardy_guard_new(&p->guard.config, NULL, &guard, error);
    if (status != HARDY_OK) {
        return status;
    }
    size_t len = hardy_guard_explain(guard, NULL, 0), count = 0;
    p->explained = malloc(len + 1);
    if (p->explained) {
        hardy_guard_explain(guard, p->explained, len + 1);
    }
    hardy_guard_free(guard);
    for (char *line = p->explained, *next; line && *line && count < WARNINGS_MAX; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) {
            *next++ = '\0';
        }
        if (str_starts(line, mark)) {
            p->warnings[count++] = line + strlen(mark);
        }
    }
    return p->explained ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "out of memory");
}

static hardy_status play(struct play *p, hardy_error *error) {
    const struct fleet_options options = {
        .scenario = &p->scenario,
        .guard = &p->guard.config,
        .repeatable = p->base == GUARD_LLM, /* as the gateway declares them */
        .retries = retries,
        .ctx = &p->guard,
        .seed = p->seed,
    };
    p->result = calloc(1, sizeof *p->result);
    p->remedies = calloc(1, sizeof *p->remedies);
    if (!p->result || !p->remedies) {
        return fail(error, HARDY_E_NOMEM, NULL, "out of memory");
    }
    hardy_status status = fleet_run(&options, p->result, error);
    if (status != HARDY_OK) {
        return status;
    }
    measure(&p->scenario, p->result, &p->measures);
    if (remedy_needed(&p->measures)) {
        status = remedies_find(&options, &p->measures, p->result->events, p->remedies, error);
    }
    return status == HARDY_OK ? explain(p, error) : status;
}

/* --- telling -------------------------------------------------------------------------------- */

static void print_text(const struct story *s, struct buf *out) {
    story_title(s, out);
    buf_putc(out, '\n');
    if (s->scenario->about) {
        buf_printf(out, "%s\n", s->scenario->about);
    }
    buf_putc(out, '\n');
    chart_plot(s->chart, terminal_columns(STDOUT_FILENO), terminal_is_utf8(), out);
    buf_putc(out, '\n');
    story_table(s, out);
    buf_putc(out, '\n');
    story_verdict(s, out);
    buf_putc(out, '\n');
    plan_text(s->plan, out);
}

hardy_status sim_picture(const struct chart *chart, const char *path, hardy_error *error) {
    struct buf picture;
    buf_init(&picture, TEXT_MAX);
    chart_svg(chart, &picture);
    hardy_status status = picture.failed
                              ? fail(error, HARDY_E_NOMEM, path, "no memory for a picture")
                              : file_write_out(path, picture.data, picture.len, 0666, error);
    buf_free(&picture);
    return status;
}

static hardy_status tell(struct play *p, hardy_error *error) {
    struct buf title, text;
    struct plan plan;
    double capacity = scenario_per_second(p->scenario.server.capacity);
    char name[256]; /* a file's may hold what a terminal obeys */
    str_copy(name, sizeof name, p->ask->name);
    str_make_printable(name);
    struct story story = {.name = name,
                          .scenario = &p->scenario,
                          .guard = &p->guard.config,
                          .seed = p->seed,
                          .result = p->result,
                          .measures = &p->measures,
                          .remedies = p->remedies,
                          .chart = &p->chart,
                          .plan = &plan,
                          .warnings = p->warnings};
    buf_init(&title, 1024);
    buf_init(&text, TEXT_MAX);
    story_title(&story, &title);
    plan_of_guard(&plan, &p->guard.config, p->scenario.clients.count, capacity,
                  p->measures.utilisation * capacity);
    hardy_status status =
        measure_chart(&p->scenario, p->result, title.data ? title.data : "", &p->chart, error);
    if (status == HARDY_OK) {
        (p->o->globals.json ? story_json : print_text)(&story, &text);
        status =
            text.failed ? fail(error, HARDY_E_NOMEM, NULL, "no memory for the result") : HARDY_OK;
    }
    if (status == HARDY_OK) {
        fwrite(text.data, 1, text.len, stdout);
        status = p->ask->svg ? sim_picture(&p->chart, p->ask->svg, error) : HARDY_OK;
    }
    buf_free(&title);
    buf_free(&text);
    return status;
}

static int print_file(const struct play *p) {
    fwrite(p->scenario.file->bytes, 1, p->scenario.file->len, stdout);
    return EXIT_DONE;
}

static void close_play(struct play *p) {
    free(p->explained);
    chart_free(&p->chart);
    if (p->result) {
        fleet_result_free(p->result);
    }
    free(p->result);
    free(p->remedies);
    guard_settings_free(&p->guard);
    config_free(p->config);
    scenario_free(&p->scenario);
}

int sim_scenario_run(const struct options *o, const struct sim_scenario *ask) {
    struct play p = {.o = o, .ask = ask};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int code = EXIT_DONE;
    hardy_status status = read_ask(&p, &error);
    if (status == HARDY_OK && ask->print) {
        code = print_file(&p);
    } else if (status != HARDY_OK || (status = find_guard(&p, &error)) != HARDY_OK) {
        code = EXIT_USAGE;
    } else if ((status = play(&p, &error)) != HARDY_OK || (status = tell(&p, &error)) != HARDY_OK) {
        code = EXIT_FAILED;
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
    }
    close_play(&p);
    return code;
}
