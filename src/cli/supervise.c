/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy supervise`: watches services, handles their incidents, keeps processes running. */
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/handling.h"
#include "cli/supervising.h"

enum { OPT_ONCE = 1, OPT_LIFE };

static const struct option_row rows[] = {
    {OPT_ONCE, "once", 0, NULL, "handle one incident, then exit with its code"},
    {OPT_LIFE, "life", 0, "DURATION", "explain: how long it lives each time (0s)"},
    {0},
};

struct asked {
    struct handling how;
    struct child_settings child;
    const char *of_child; /* an option that only a COMMAND has */
    int64_t life;
    bool life_given;
};

/* 0, or the exit code of a mistake that was told. */
static int take(struct options *o, int id, struct asked *a) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (id == OPT_ONCE) {
        a->how.once = true;
    } else if (id == OPT_LIFE) {
        a->life_given = true;
        if (parse_duration(o->value, &a->life, &error) != HARDY_OK)
            return options_wrong(o, "--life: %s", error.message);
    } else {
        a->of_child = o->name;
        if (supervise_command_set(&a->child, o->name, o->value, &error) != HARDY_OK)
            return options_wrong(o, "--%s: %s", o->name, error.message);
    }
    return 0;
}

static int go(struct options *o, struct asked *a) {
    bool command = o->argc > 0 && str_eq(o->argv[-1], "--");
    bool explain = !command && o->argc > 0 && str_eq(o->argv[0], "explain");
    if (a->life_given && !explain)
        return options_wrong(o, "--life is for explain");
    if (command)
        return a->how.once ? options_wrong(o, "--once is for a file, not for a command")
                           : supervise_command(o, &a->child);
    if (a->of_child)
        return options_wrong(o, "--%s is for a COMMAND after --; children of a file have it there",
                             a->of_child);
    if (explain)
        return o->argc > 2 ? options_wrong(o, "unexpected \"%s\"", o->argv[2])
                           : supervise_explain(o, o->argv[1], a->life);
    if (o->argc > 0)
        return options_wrong(o, "unexpected \"%s\"; a command to supervise stands after --",
                             o->argv[0]);
    a->how.purpose = a->how.once ? "supervise --once" : "supervise";
    return handling_run(o, &a->how);
}

static int run(struct options *o) {
    struct asked a = {.how = {.purpose = "supervise"}};
    int id, code = 0;
    if (child_settings_init(&a.child, NULL, ".") != HARDY_OK)
        return EXIT_FAILED;
    while (code == 0 && (id = options_next(o)) > 0)
        code = take(o, id, &a);
    if (code == 0)
        code = id < 0 ? o->exit : go(o, &a);
    child_settings_free(&a.child);
    return code;
}

const struct command command_supervise = {
    .name = "supervise",
    .synopsis = "[-c FILE] [--once]\n[OPTION]... -- COMMAND...\nexplain [-c FILE] [NAME]",
    .summary = "watch services, handle their incidents, keep processes running",
    .details =
        "Runs the checks and the children of the configuration. When the check of a service under "
        "incidents: goes down, an incident opens: evidence is gathered, the rules name the cause, "
        "the remedy runs as a durable action, the check verifies it. What does not help is tried "
        "max_attempts times, then a person is told.\n\n"
        "Children, under supervise:, are started in the order of after:, each when those before it "
        "are ready; restarted when they die, with growing delays and a limit; ended with hardy, in "
        "the reverse order. With a COMMAND it is the only child, needs no file, and its exit code "
        "is hardy's; the options are the keys of supervise:. explain prints when a child that "
        "fails again and again is restarted, and when that ends.\n\n"
        "It can be killed at any moment: started again it adopts the children that run, goes on "
        "with the open incident, and attaches to a remedy that still runs instead of starting it "
        "twice. A second one at the same state waits while the first has a child or handles a "
        "service, and takes over when that dies.\n\n"
        "Under fail_over: a primary and its backups are all checked, and connections, a file and "
        "a command follow whichever is active.\n\n"
        "With automation: observe (the default) nothing but its own children is touched: it tells "
        "what it would have done. With health: {listen: HOST:PORT} it serves /health/live, "
        "/health/ready and /metrics.\n\n"
        "SIGHUP loads the configuration again: checks, services, targets and windows; children and "
        "fail-overs stay as they were begun. A file that is wrong changes nothing.\n\n"
        "Exit codes with --once: 0 resolved, 3 a person was told, 4 in doubt.",
    .examples =
        "hardy supervise --restart on_failure -- true\n"
        "hardy supervise -c examples/incident.yaml --once    # needs the service; see make run",
    .options = rows,
    .more = supervise_command_rows,
    .run = run,
};
