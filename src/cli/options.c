/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/say.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_CONFIG = 1,
    OPT_STATE,
    OPT_JSON,
    OPT_VERBOSE,
    OPT_QUIET,
    OPT_LEVEL,
    OPT_COLOR,
    OPT_HELP,
    OPT_VERSION
};

const struct option_row global_rows[] = {
    {OPT_CONFIG, "config", 'c', "FILE", "the configuration; else HARDY_CONFIG, ./hardy.yaml, ..."},
    {OPT_STATE, "state", 0, "PATH",
     "where state is kept; else HARDY_STATE, the configuration's ..."},
    {OPT_JSON, "json", 0, NULL, "the result as JSON"},
    {OPT_VERBOSE, "verbose", 'v', NULL, "tell more"},
    {OPT_QUIET, "quiet", 'q', NULL, "tell errors only"},
    {OPT_LEVEL, "log-level", 0, "LEVEL", "error, warning, info or debug"},
    {OPT_COLOR, "color", 0, "WHEN", "auto, always or never; NO_COLOR is respected"},
    {OPT_HELP, "help", 'h', NULL, "this text"},
    {OPT_VERSION, "version", 'V', NULL, "the version"},
    {0}};

#define FIRST 256 /* getopt's answers for long options: FIRST + index in `rows` */

static bool known(const struct options *o, const struct option_row *row) {
    for (size_t i = 0; i < o->count; i++) {
        if (str_eq(o->rows[i]->name, row->name)) {
            return true;
        }
    }
    return false;
}

static void add(struct options *o, const struct option_row *rows) {
    for (; rows && rows->name; rows++) {
        if (o->count < OPTIONS_MAX && !known(o, rows)) {
            o->rows[o->count++] = rows;
        }
    }
}

static bool global(const struct option_row *row) {
    return row >= global_rows && row < global_rows + sizeof global_rows / sizeof *global_rows;
}

void options_begin(struct options *o, const struct command *self, const struct globals *globals,
                   int argc, char **argv) {
    *o = (struct options){.self = self, .globals = *globals, .argc = argc, .argv = argv};
    if (self) {
        add(o, self->options);
        add(o, self->more ? self->more() : NULL);
    }
    add(o, global_rows);
}

static int usage_exit(const struct options *o) {
    return o->self && o->self->usage_exit ? o->self->usage_exit : EXIT_USAGE;
}

int options_wrong(const struct options *o, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(o, HARDY_LOG_ERROR, "%s; see 'hardy %s%s--help'", text, o->self ? o->self->name : "",
        o->self ? " " : "");
    return usage_exit(o);
}

static int wrong_name(const struct options *o, const char *given) {
    char name[64];
    const char *end = strchr(given, '=');
    snprintf(name, sizeof name, "%.*s", end ? (int)(end - given) : (int)strlen(given), given);
    const char *names[OPTIONS_MAX];
    size_t same = 0;
    const char *prefixed = NULL;
    for (size_t i = 0; i < o->count; i++) {
        names[i] = o->rows[i]->name;
        if (name[0] && str_starts(names[i], name)) {
            prefixed = names[i];
            same++;
        }
    }
    const char *nearest = same == 1 ? prefixed : str_nearest(name, names, o->count);
    return nearest ? options_wrong(o, "unknown option --%s, did you mean --%s?", name, nearest)
                   : options_wrong(o, "unknown option --%s", name);
}

/* The command line's own text of the long option getopt_long() has just answered. */
static const char *written(const struct options *o) {
    const char *text = o->argv[optind - 1];
    if (optarg && optarg == text && optind >= 2) {
        text = o->argv[optind - 2];
    }
    return text;
}

static int set_global(struct options *o, int id) {
    struct globals *g = &o->globals;
    switch (id) {
    case OPT_CONFIG:
        g->config = optarg;
        break;
    case OPT_STATE:
        g->state = optarg;
        break;
    case OPT_JSON:
        g->json = true;
        break;
    case OPT_VERBOSE:
        g->level_given = true;
        g->level = HARDY_LOG_DEBUG;
        break;
    case OPT_QUIET:
        g->level_given = true;
        g->level = HARDY_LOG_ERROR;
        break;
    case OPT_LEVEL:
        g->level_given = true;
        if (!log_parse_level(optarg, &g->level)) {
            o->exit = options_wrong(o, "--log-level: \"%s\" is none of error, warning, info, debug",
                                    optarg);
            return -1;
        }
        break;
    case OPT_COLOR:
        if (str_eq(optarg, "auto")) {
            g->color = COLOR_AUTO;
        } else if (str_eq(optarg, "always")) {
            g->color = COLOR_ALWAYS;
        } else if (str_eq(optarg, "never")) {
            g->color = COLOR_NEVER;
        } else {
            o->exit = options_wrong(o, "--color: \"%s\" is none of auto, always, never", optarg);
            return -1;
        }
        break;
    case OPT_HELP:
        if (o->self) {
            help_command(o->self, stdout);
        } else {
            help_program(stdout);
        }
        o->exit = EXIT_DONE;
        return -1;
    default:
        help_version(stdout);
        o->exit = EXIT_DONE;
        return -1;
    }
    return 0;
}

static int refused(struct options *o, int answer) {
    const char *text = o->argv[optind - 1];
    if (answer == ':') {
        o->exit = options_wrong(o, "%s needs a value", text);
    } else if (optopt >= FIRST) {
        o->exit = options_wrong(o, "--%s takes no value", o->rows[optopt - FIRST]->name);
    } else if (optopt) {
        o->exit = options_wrong(o, "unknown option -%c", optopt);
    } else {
        o->exit = wrong_name(o, text + 2);
    }
    return -1;
}

static const struct option_row *row_of(struct options *o, int answer) {
    if (answer >= FIRST) {
        return o->rows[answer - FIRST];
    }
    for (size_t i = 0; i < o->count; i++) {
        if (o->rows[i]->letter == answer) {
            return o->rows[i];
        }
    }
    return NULL;
}

int options_next(struct options *o) {
    struct option names[OPTIONS_MAX + 1];
    char letters[2 * OPTIONS_MAX + 3];
    size_t n = 0;
    /* '+': what follows the first operand is another command's. */
    if (!o->self || o->self->runs_command) {
        letters[n++] = '+';
    }
    letters[n++] = ':';
    for (size_t i = 0; i < o->count; i++) {
        const struct option_row *row = o->rows[i];
        names[i] = (struct option){row->name, row->value ? required_argument : no_argument, NULL,
                                   FIRST + (int)i};
        if (row->letter) {
            letters[n++] = row->letter;
            if (row->value) {
                letters[n++] = ':';
            }
        }
    }
    names[o->count] = (struct option){0};
    letters[n] = '\0';
    if (!o->started) {
        optind = 0; /* a new command line */
        opterr = 0;
        o->started = true;
    }
    for (;;) {
        int answer = getopt_long(o->argc, o->argv, letters, names, NULL);
        if (answer == -1) {
            log_configure(o->globals.level, false, STDERR_FILENO);
            o->argc -= optind;
            o->argv += optind;
            return 0;
        }
        if (answer == '?' || answer == ':') {
            return refused(o, answer);
        }
        const struct option_row *row = row_of(o, answer);
        if (answer >= FIRST) {
            const char *text = written(o) + 2;
            size_t len = strcspn(text, "=");
            if (strlen(row->name) != len) {
                o->exit = wrong_name(o, text);
                return -1;
            }
        }
        /* `--key $ORDER -- command` with an empty ORDER: not a value anybody means. */
        if (optarg && optarg == o->argv[optind - 1] && str_eq(optarg, "--")) {
            o->exit = options_wrong(o, "--%s needs a value, and what follows it is --", row->name);
            return -1;
        }
        if (global(row)) {
            if (set_global(o, row->id) < 0) {
                return -1;
            }
            continue;
        }
        o->name = row->name;
        o->value = optarg;
        return row->id;
    }
}

bool options_color(const struct globals *g, int fd) {
    const char *no = getenv("NO_COLOR");
    return g->color == COLOR_ALWAYS || (g->color == COLOR_AUTO && !(no && no[0]) && isatty(fd));
}
