/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy supervise`: watches services, handles their incidents. */
#include "cli/command.h"
#include "cli/handling.h"

enum { OPT_ONCE = 1 };

static const struct option_row rows[] = {
    {OPT_ONCE, "once", 0, NULL, "handle one incident, then exit with its code"},
    {0},
};

static int run(struct options *o) {
    struct handling how = {.purpose = "supervise"};
    int id;
    while ((id = options_next(o)) > 0) {
        how.once |= id == OPT_ONCE;
    }
    if (id < 0) {
        return o->exit;
    }
    how.purpose = how.once ? "supervise --once" : "supervise";
    if (o->argc > 0) {
        return options_wrong(o, "unexpected \"%s\"", o->argv[0]);
    }
    return handling_run(o, &how);
}

const struct command command_supervise = {
    .name = "supervise",
    .synopsis = "[-c FILE] [--once]",
    .summary = "watch services and handle their incidents",
    .details =
        "Runs the checks of the configuration. When the check of a service under incidents: "
        "goes down, an incident opens: evidence is gathered, the rules name the cause, the "
        "remedy runs as a durable action, the check verifies it. What does not help is tried "
        "max_attempts times, then a person is told.\n\n"
        "It can be killed at any moment: started again it goes on with the open incident, and "
        "attaches to a remedy that still runs instead of starting it twice. A second one at the "
        "same state waits while the first handles a service, and takes over when that dies.\n\n"
        "Under fail_over: a primary and its backups are all checked, and connections, a file and "
        "a command follow whichever is active.\n\n"
        "With automation: observe (the default) nothing is touched: it tells what it would "
        "have done. With health: {listen: HOST:PORT} it serves /health/live, /health/ready and "
        "/metrics.\n\n"
        "Exit codes with --once: 0 resolved, 3 a person was told, 4 in doubt.",
    .examples =
        "hardy supervise -c examples/incident.yaml --once    # needs the service; see make run",
    .options = rows,
    .run = run,
};
