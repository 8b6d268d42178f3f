/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_WORKFLOW_H
#define WORK_WORKFLOW_H
/*
 * A workflow file: named steps, some of them groups of others. Only ${{ }} is expanded in it;
 * ${NAME} is the shell's. Relative commands, files and workflows begin in the file's folder.
 */
#include "config/schema.h"
#include "durable/run.h"
#include "settings/guards.h"

enum step_kind {
    STEP_RUN,      /* a command */
    STEP_HTTP,     /* a request, made by `hardy __http` */
    STEP_ENSURE,   /* probe, create, update, by `hardy __ensure` */
    STEP_FILE,     /* a file named after its content, by `hardy __file` */
    STEP_UNTIL,    /* a condition is waited for */
    STEP_SLEEP,    /* time is waited for */
    STEP_APPROVE,  /* a person is waited for */
    STEP_PARALLEL, /* groups */
    STEP_SEQUENCE,
    STEP_WORKFLOW,
    STEP_KINDS
};
const char *step_kind_text(enum step_kind kind); /* its key: "run", "http", ..., "steps" */

enum step_output { OUTPUT_AUTO = -1, OUTPUT_JSON, OUTPUT_TEXT };

struct step_http {
    char *method, *url;
    const struct yaml_node *headers; /* a map of texts */
    const struct yaml_node *json;    /* the body, any value */
    char *body;                      /* or a text */
    struct schema_strings expect;    /* statuses: 200, 2xx; NULL = 2xx */
};
struct step_ensure {
    struct schema_command probe, create, update;
};
struct step_file {
    char *folder, *content, *prefix, *suffix;
};
struct step_approve {
    char *message;
    int64_t expires; /* HARDY_NEVER */
};

struct step_settings {
    char *name;
    struct schema_command run;
    struct step_http http;
    struct step_ensure ensure;
    struct step_file file;
    struct schema_command until;
    int64_t every; /* between two looks; 0 = from 1s on, growing to 30s */
    char *sleep;   /* a duration, or an expression that gives one */
    struct step_approve approve;
    const struct yaml_node *parallel, *steps;
    char *workflow;
    const struct yaml_node *input; /* of the workflow: a map */
    bool given[STEP_KINDS];

    char *when;                       /* NULL = always */
    const struct yaml_node *for_each; /* a list, or an expression that gives one; NULL = once */
    uint32_t max_concurrent;          /* of parallel and for_each */
    struct schema_command probe;
    int in_doubt;    /* enum in_doubt_policy; -1 = not said */
    int64_t timeout; /* of one attempt; of `until` in all */
    const struct yaml_node *retry;
    char *guard; /* name under guards: of the configuration; NULL = none */
    struct schema_command compensate;
    int output; /* enum step_output */
};
extern const struct schema_section step_section;
extern const struct schema_section workflow_section;

struct workflow;
struct workflow_step {
    struct step_settings s;
    enum step_kind kind;
    enum in_doubt_policy in_doubt; /* of the settings, or what suits the kind */
    const struct yaml_node *node;
    const struct workflow *workflow; /* whose file it stands in */
    struct workflow_step *parent;    /* NULL = a workflow's own step; not across workflows */
    struct workflow_step **children; /* of the kinds parallel and steps */
    size_t count, place;
    struct workflow *nested;      /* STEP_WORKFLOW; owned */
    struct guard_settings *retry; /* a policy of its own; NULL = none */
    char definition[65];          /* SHA-256 of what the file says of it, without its children */
};

struct workflow {
    char *path, *folder;
    char *name;
    struct schema_strings secrets; /* names of variables whose values are nowhere written */
    struct workflow_step **steps;
    size_t count;
    char definition[65]; /* SHA-256 over the definitions of all steps */
    struct yaml_file *file;
    void *raw;
};
/* Every problem that can be known without running: unknown keys, two steps of one name, expressions
 * that name a step that comes later, workflows that contain themselves. `error` holds the place. */
hardy_status workflow_read(const char *path, struct workflow **out, hardy_error *error);
void workflow_free(struct workflow *w); /* NULL is fine */
/* The steps of this and all nested workflows, outer before inner; `fn` returns false to stop. */
typedef bool (*workflow_visit)(void *ctx, const struct workflow_step *step);
bool workflow_each(const struct workflow *w, workflow_visit fn, void *ctx);
/* The same without what stands in the files of nested workflows. */
bool workflow_each_own(const struct workflow *w, workflow_visit fn, void *ctx);

/* Whether all of `input` and `env` that the steps refer to is there: a run that lacks it would only
 * find out when the steps before have had their effects. E_SYNTAX naming step and path. */
hardy_status workflow_check_input(const struct workflow *w, const char *input,
                                  const char *const *env, hardy_error *error);
/* The tree of a run of it, without records and keys. NULL = no memory. */
struct run_step *workflow_tree(const struct workflow *w);
/* A value that a shell text has between single quotes, where the shell does not put it in: its
 * beginning, borrowed from `text`; NULL = there is none. */
const char *step_quoted_value(const char *text);
/* Whether the step's expressions can hold at all (check.c). */
hardy_status step_check(const struct workflow_step *step, hardy_error *error);
#endif
