/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_EXPAND_H
#define WORK_EXPAND_H
/*
 * The expressions of a workflow's step, filled in from where it stands: input.NAME of its workflow,
 * steps.NAME.output of the steps that are certainly over before it, env.NAME, and `item` and
 * `index` inside a for_each. What a nested workflow sees is its own input and its own steps.
 */
#include "config/template.h"
#include "work/workflow.h"

struct scope {
    const struct run *run;
    struct run_step *at;    /* the step whose expressions they are; may cache values below it */
    const char *const *env; /* "K=V", NULL-terminated */
    bool own;               /* its own output too: for its compensation */
    bool without_env;       /* env.NAME gives a mark instead of a value, which may be a secret */
    const char *request;    /* the file for a request that is too long for a variable; NULL = a
                               variable whatever its length */
    json_t *made;           /* values made for lookups; scope_free() */
    hardy_status status;    /* of a lookup that failed for another reason than not being there */
    hardy_error error;
};
void scope_init(struct scope *s, const struct run *run, struct run_step *at,
                const char *const *env);
void scope_free(struct scope *s);

/* Whether `when` holds; true without one. */
hardy_status scope_when(struct scope *s, const struct workflow_step *step, bool *holds,
                        hardy_error *error);
/* The list of for_each, borrowed; also checks that it is still the one of which `at` has items. */
hardy_status scope_items(struct scope *s, const json_t **out, hardy_error *error);
/* What identifies the list. */
void scope_items_hash(const json_t *items, char out[65]);
/* A value of the file with its texts filled in; a new reference. */
hardy_status scope_node(struct scope *s, const struct yaml_node *node, json_t **out,
                        hardy_error *error);
/* For templates: the lookup, whose ctx is the scope, and after one that failed the reason, if it is
 * another than that of the text (OK = none). */
template_lookup scope_lookup(void);
hardy_status scope_failed(struct scope *s, hardy_error *error);
/* The result of a step that is done, or of a group; borrowed from it. Of what was skipped JSON's
 * null; NULL = it is no value (no UTF-8, or not the JSON that it should be), or no memory. */
json_t *step_value_of(struct run_step *step);
/* A text filled in, malloc'd. */
hardy_status scope_text(struct scope *s, const char *text, char **out, hardy_error *error);

/* A step's command with its values filled in. A list gets them as arguments; a shell text gets them
 * through the environment ("${HARDY_VALUE_1}"), never pasted. */
struct step_command {
    char **argv;
    char **probe; /* NULL = none */
    char **env;   /* the scope's and what the step needs */
};
/* `undo`: of its compensation. For http, ensure and file the command is hardy itself. */
hardy_status step_expand(struct scope *s, bool undo, struct step_command *out, hardy_error *error);
/* What the command of `until` looks like. */
hardy_status step_expand_until(struct scope *s, struct step_command *out, hardy_error *error);
void step_command_free(struct step_command *c);
/* SHA-256 over all that was filled in, without the environment: what tells that a changed
 * definition comes to the same. */
hardy_status step_inputs_hash(struct scope *s, char out[65], hardy_error *error);

/* What identifies a step's command in its record: as the file says it, no value filled in, for a
 * value may be a secret. Malloc'd JSON; NULL = no memory. */
char *step_params(const struct workflow_step *step, bool undo);
#endif
