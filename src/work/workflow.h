/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_WORKFLOW_H
#define WORK_WORKFLOW_H
/*
 * A workflow file: named steps, each a command. Only ${{ }} is expanded in it; ${NAME} is the
 * shell's. Relative commands begin in the file's folder.
 */
#include "config/schema.h"
#include "durable/run.h"

struct step_settings {
    char *name;
    struct schema_command run;
    struct schema_command probe;
    int in_doubt;    /* enum in_doubt_policy; probe when there is one, else ask */
    int64_t timeout; /* of one attempt */
    char *guard;     /* name under guards: of the configuration; NULL = none */
};
extern const struct schema_section workflow_section;

struct workflow {
    char *path, *folder;
    char *name;
    struct schema_list steps; /* of step_settings */
    char definition[65];
    char (*step_definitions)[65];
    struct yaml_file *file;
    void *raw;
};
/* Every problem that can be known without running: unknown keys, two steps of one name, expressions
 * that name a step that comes later. `error` holds the place. */
hardy_status workflow_read(const char *path, struct workflow **out, hardy_error *error);
void workflow_free(struct workflow *w);

/* Whether all of `input` and `env` that the steps refer to is there: a run that lacks it would only
 * find out when the steps before have had their effects. E_SYNTAX naming step and path. */
hardy_status workflow_check_input(const struct workflow *w, const char *input,
                                  const char *const *env, hardy_error *error);

/* What identifies a step's command in its record: as the file says it, no value filled in, for a
 * value may be a secret. Malloc'd JSON; NULL = no memory. */
char *step_params(const struct step_settings *s);

/* A step's command with its values filled in. A list gets them as arguments; a shell text gets them
 * through the environment ("${HARDY_VALUE_1}"), never pasted. */
struct step_command {
    char **argv;
    char **probe; /* NULL = none */
    char **env;   /* `base` and what the step needs */
};
hardy_status step_expand(const struct workflow *w, size_t step, const struct run *run,
                         const char *const *base, struct step_command *out, hardy_error *error);
/* Whether the step's expressions can hold at all; places from `node`. */
hardy_status step_check(const struct workflow *w, size_t step, const struct yaml_node *node,
                        hardy_error *error);
void step_command_free(struct step_command *c);
#endif
