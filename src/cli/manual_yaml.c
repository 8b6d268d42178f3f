/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page hardy.yaml.5: words that explain, and every key from the schema's table. */
#include "base/str.h"
#include "cli/command.h"
#include "cli/manual.h"
#include "cli/mdoc.h"
#include "cli/top.h"
#include <stdio.h>
#include <string.h>

static const char head[] =
    ".\\\" SPDX-License-Identifier: Apache-2.0\n"
    ".\\\" Made by `hardy __man hardy.yaml` from the table of keys.\n"
    ".Dd November 23, 2026\n.Dt HARDY.YAML 5\n.Os\n"
    ".Sh NAME\n.Nm hardy.yaml\n.Nd configuration of hardy\n"
    ".Sh DESCRIPTION\n"
    "The first of these is read: the file named by\n.Fl Fl config ,\n"
    "the one named by the variable\n.Ev HARDY_CONFIG ,\n.Pa ./hardy.yaml ,\n"
    ".Pa $XDG_CONFIG_HOME/hardy/hardy.yaml\n(where that is not set, below\n.Pa ~/.config ) ,\n"
    ".Pa /etc/hardy/hardy.yaml .\n"
    "Without any, everything has its default.\n"
    "A file that is named and missing is an error.\n";

static const char rules[] =
    "The file is YAML, in UTF-8, one document. Every key has a default, but for those that are "
    "required. Keys that do not exist, keys given twice, and values out of their range are errors "
    "that tell line and column, and nothing is run; `hardy validate` tells all of them at once, "
    "and warns of settings that cannot hold together.\n\n"
    "Anchors, aliases and merge keys (`<<: *base`) may be used; tags may not.\n\n"
    "${NAME} in a value is replaced by that variable of the environment, and it is an error when "
    "there is none; ${NAME:-text} has a text for that case. $${NAME} writes ${NAME}; ${{ }} is "
    "left alone, for it belongs to expressions. Inside [ ] and { } such a value has to be quoted.";

static const char guards_text[] =
    "A guard protects the calls to one dependency. Whatever is not said, it retries what can pass, "
    "under a budget, and has a circuit breaker, which refuses when it is open; it has no time "
    "limits, no rate limit and no bulkhead. `retry: off`, `breaker: off` and the like switch a "
    "layer off. A preset sets several keys together, and keys given besides it win:";

static const struct {
    const char *name, *text;
} presets[] = {
    {"standard", "retries 3 times, 1s to 60s apart, 120s of waiting in all; the breaker opens "
                 "after 5 failures, for 60s, and closes after 2 successes"},
    {"user_facing", "retries 2 times, 500ms to 5s apart, jitter equal, 10s of waiting in all"},
    {"background", "retries 5 times, 2s to 120s apart, each wait 3 times the one before"},
    {"high_traffic", "the breaker opens after 10 failures, for 30s"},
    {"critical", "the breaker opens after 3 failures, for 120s"},
};

static const char example[] = "state: hardy.db\n"
                              "guards:\n"
                              "  search:\n"
                              "    preset: user_facing\n"
                              "    deadline: 15s\n"
                              "    timeout: 2s\n"
                              "    rate: 10/s\n"
                              "    breaker: {failure_threshold: 3}";

static void flow(const char *text) {
    mdoc_flow(text, strlen(text));
}

/* What stands before the path of a key inside its section: "guards.NAME.", "checks[].". */
static size_t prefix_length(const char *path) {
    size_t len = strcspn(path, ".");
    len += path[len] == '.';
    return len + (str_starts(path + len, "NAME.") ? strlen("NAME.") : 0);
}

static bool put_key(void *ctx, const char *path, const struct schema_key *key) {
    const char *section = ctx; /* NULL: keys without a section of their own */
    bool inside = strpbrk(path, ".[") != NULL || key->section;
    if (section ? !str_starts(path, section) || !strchr(".[", path[strlen(section)]) ||
                      path[strlen(section)] == '\0'
                : inside) {
        return true;
    }
    const char *shown = path + (section ? prefix_length(path) : 0);
    if (section && key->kind == SCHEMA_NAME && str_eq(shown, "name") && strstr(path, ".NAME.")) {
        return true;
    }
    manual_key(shown, key);
    return true;
}

static void put_keys(const char *section) {
    puts(".Bl -tag -width Ds");
    schema_each(&top_section, put_key, (void *)section);
    puts(".El");
}

int manual_yaml(void) {
    fputs(head, stdout);
    mdoc_paragraphs(rules);
    manual_values();
    puts(".Sh KEYS");
    put_keys(NULL);
    for (size_t i = 0; i < top_section.count; i++) {
        const struct schema_key *key = &top_section.keys[i];
        if (!key->section) {
            continue;
        }
        printf(".Ss %s%s\n", key->name, key->kind == SCHEMA_NAMED ? ".NAME" : "");
        flow(key->help);
        if (str_eq(key->name, "guards")) {
            puts(".Pp");
            flow(guards_text);
            puts(".Bl -tag -width high_traffic");
            for (size_t p = 0; p < sizeof presets / sizeof *presets; p++) {
                printf(".It Cm %s\n", presets[p].name);
                flow(presets[p].text);
            }
            puts(".El\n.Pp\nThe keys:");
        }
        put_keys(key->name);
    }
    puts(".Sh FILES\n.Bl -tag -width Ds\n.It Pa hardy.yaml\nThe configuration.\n"
         ".It Pa hardy.db\nThe state, unless\n.Cm state\nsays otherwise.\n.El\n.Sh EXAMPLES");
    mdoc_literal(example);
    puts(".Sh SEE ALSO\n.Xr hardy 1 ,\n.Xr hardy-workflow 5");
    return EXIT_DONE;
}
