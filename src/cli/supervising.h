/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SUPERVISING_H
#define CLI_SUPERVISING_H
/* Children under a session of the command line: for `hardy supervise`, with a file or with one
 * command. */
#include "cli/session.h"
#include "supervise/children.h"

struct supervising {
    struct schema_list list; /* of child_settings */
    char *folder;
    char boot[37];
    struct children_world world;
    struct children *children; /* NULL = not started, or gone */
};
/* `targets` and `maintenance` may be NULL; borrowed. */
hardy_status supervising_start(struct supervising *s, struct session *session,
                               const struct schema_list *targets,
                               const struct maintenance *maintenance,
                               const struct children_events *events, void *ctx, hardy_error *error);
void supervising_free(struct supervising *s);
/* The exit code that stands for how it went: of the only child its own, 1 when one was given up. */
int supervising_exit(const struct children *children, const struct schema_list *list);

/* `hardy supervise -- COMMAND` (supervise_command.c), and what its options are. */
const struct option_row *supervise_command_rows(void);
hardy_status supervise_command_set(struct child_settings *s, const char *option, const char *value,
                                   hardy_error *error);
int supervise_command(struct options *o, struct child_settings *s);
/* `hardy supervise explain [NAME]` (supervise_explain.c). */
int supervise_explain(const struct options *o, const char *name, int64_t life);
#endif
