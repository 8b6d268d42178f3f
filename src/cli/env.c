/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy env`: the variables that point agents at the gateway. */
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/variables.h"
#include <stdio.h>

#define TEXT_MAX ((size_t)1 << 16)

enum { OPT_SHELL = 1 };

static const struct option_row rows[] = {
    {OPT_SHELL, "shell", 0, "SHELL", "bash (also for sh and zsh) or fish"},
    {0},
};

/* Behind the exports: without quotes around $(hardy env) they would be commented out. */
static void print_others(const struct gateway_settings *s, const char *origin) {
    struct variables seen = {0};
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_settings *u = &s->upstreams[i];
        if (!variables_add(&seen, origin, u->name,
                           upstream_protocol_text((enum upstream_protocol)u->protocol))) {
            printf("# %s/%s is %s\n", origin, u->name, u->url_text);
        }
    }
    if (s->clients.count > 0) {
        printf("# agents send the token of a client as their API key\n");
    }
}

static void print_json(const struct variables *v) {
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 2);
    variables_to_json(v, &j);
    puts(text.data ? text.data : "{}");
    buf_free(&text);
}

static int print_variables(const struct options *o, bool fish) {
    struct gateway_settings settings = {0};
    struct variables variables;
    char origin[ORIGIN_SIZE];
    hardy_error error;
    int code = EXIT_DONE;
    hardy_error_init(&error, sizeof error);
    struct config *config = serving_config(o, &code);
    if (!config) {
        return code;
    }
    if (gateway_settings_look(config, &settings, &error) != HARDY_OK) {
        say_error(o, &error);
        code = EXIT_USAGE;
    } else if (settings.address.port == 0) {
        say(o, HARDY_LOG_ERROR,
            "gateway.listen is %s, a free port that only the running gateway knows: give a port, "
            "or use 'hardy wrap'",
            settings.listen);
        code = EXIT_USAGE;
    } else {
        origin_text(&settings.address, origin);
        variables_of(&variables, origin, &settings);
        if (o->globals.json) {
            print_json(&variables);
        } else {
            variables_print(&variables, fish);
            print_others(&settings, origin);
        }
    }
    gateway_settings_free(&settings);
    config_free(config);
    return code;
}

static int run(struct options *o) {
    bool fish = false;
    int id;
    while ((id = options_next(o)) > 0) {
        fish = str_eq(o->value, "fish");
        if (!fish && !str_eq(o->value, "bash")) {
            return options_wrong(o, "--shell: \"%s\" is none of bash, fish", o->value);
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "unexpected \"%s\"", o->argv[0]);
    }
    return print_variables(o, fish);
}

const struct command command_env = {
    .name = "env",
    .synopsis = "[-c FILE] [--shell bash|fish]",
    .summary = "print the variables that point agents at the gateway",
    .options = rows,
    .details =
        "For the configured gateway, whether it runs or not: ANTHROPIC_BASE_URL for the first "
        "upstream of protocol anthropic, OPENAI_BASE_URL for the first of protocol openai; others "
        "as comments.",
    .examples = "hardy env\n"
                "eval \"$(hardy env)\"\n"
                "hardy env --shell fish",
    .run = run,
};
