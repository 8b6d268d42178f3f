/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_REMEDY_H
#define INCIDENT_REMEDY_H
/* A remedy as a durable command: its key, environment and parameters. */
#include "incident/incident.h"
#include "work/command.h"

struct remedy {
    struct command_spec spec; /* borrows from the following */
    char *key, *params;
    char **env;
    const char **argv;
    struct store_op require;
};
/* For the round at which the incident is. Its start is refused by the store once somebody else has
 * written the incident. What it prints, on standard error too, goes into its record. */
hardy_status remedy_prepare(struct remedy *r, const struct incident *i,
                            const struct action_settings *action, const char *const *env,
                            const char *cwd, int64_t keep, hardy_error *error);
void remedy_free(struct remedy *r);
/* What a command printed, in a line: its first line and its last. */
void remedy_hint(const char *output, char *out, size_t size);
#endif
