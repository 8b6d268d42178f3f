/* SPDX-License-Identifier: Apache-2.0 */
/* The command of a step, with its values filled in. */
#include "work/expand.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "io/file.h"
#include "work/environment.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_TEXT = 1 << 20,
    MAX_PARAMS = 8 << 20,
    MAX_REQUEST = 16 << 20,
    REQUEST_IN_VARIABLE = 100 << 10
};

/* What is being filled in: a step's command, its probe. */
struct filling {
    struct scope *scope;
    struct environment env;
    unsigned number; /* of the last HARDY_VALUE_N */
    bool nul;        /* a value cannot be handed over */
};

/* A value of a shell text goes into a variable of its own, which stands in its place. */
static void put_variable(void *ctx, const char *value, size_t len, struct buf *out) {
    struct filling *f = ctx;
    char name[32];
    snprintf(name, sizeof name, "HARDY_VALUE_%u", ++f->number);
    buf_printf(out, "${%s}", name);
    environment_set(&f->env, name, "%s", value);
    f->nul |= strlen(value) != len;
}

static hardy_status fill_text(struct filling *f, const char *text, bool shell, char **out,
                              hardy_error *error) {
    struct buf filled;
    template_lookup look_up = scope_lookup();
    buf_init(&filled, MAX_TEXT);
    f->nul = false;
    hardy_status status =
        shell ? template_expand_by(text, look_up, f->scope, put_variable, f, &filled, error)
              : template_expand(text, look_up, f->scope, &filled, error);
    if (f->scope->status != HARDY_OK) {
        status = scope_failed(f->scope, error);
    }
    f->nul |= filled.data && strlen(filled.data) != filled.len;
    if (status == HARDY_OK && f->nul) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "a value in `%.100s` holds a NUL byte, which no command can be given", text);
    }
    *out = status == HARDY_OK ? buf_take(&filled) : NULL;
    buf_free(&filled);
    if (status == HARDY_OK && !*out) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for an argument");
    }
    return status;
}

static hardy_status fill_command(struct filling *f, const struct schema_command *command,
                                 char ***out, hardy_error *error) {
    size_t count = 0;
    while (command->argv[count]) {
        count++;
    }
    char **argv = calloc(count + 1, sizeof *argv);
    if (!argv) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a command");
    }
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        bool shell = command->shell && i == count - 1;
        status = fill_text(f, command->argv[i], shell, &argv[i], error);
    }
    if (status != HARDY_OK) {
        environment_free_list(argv);
        return status;
    }
    *out = argv;
    return HARDY_OK;
}

/* --- what hardy does itself: a request for one of its own programs ------------------------------
 */

static hardy_status put_text(struct filling *f, struct json_out *j, const char *key,
                             const char *text, hardy_error *error) {
    char *filled = NULL;
    hardy_status status = text ? scope_text(f->scope, text, &filled, error) : HARDY_OK;
    if (filled) {
        json_out_member_string(j, key, filled);
    }
    free(filled);
    return status;
}

static hardy_status put_node(struct filling *f, struct json_out *j, const char *key,
                             const struct yaml_node *node, hardy_error *error) {
    json_t *value = NULL;
    hardy_status status = node ? scope_node(f->scope, node, &value, error) : HARDY_OK;
    if (value) {
        struct buf text;
        buf_init(&text, MAX_REQUEST);
        template_put_json(value, &text);
        json_out_member_raw(j, key, text.data);
        buf_free(&text);
    }
    json_decref(value);
    return status;
}

static hardy_status put_argv(struct filling *f, struct json_out *j, const char *key,
                             const struct schema_command *command, hardy_error *error) {
    char **argv = NULL;
    hardy_status status = command->argv ? fill_command(f, command, &argv, error) : HARDY_OK;
    if (argv) {
        json_out_key(j, key);
        json_out_array(j);
        for (char **arg = argv; *arg; arg++) {
            json_out_string(j, *arg);
        }
        json_out_array_end(j);
    }
    environment_free_list(argv);
    return status;
}

static hardy_status put_http(struct filling *f, const struct step_http *h, struct json_out *j,
                             hardy_error *error) {
    hardy_status status = put_text(f, j, "method", h->method, error);
    status = status == HARDY_OK ? put_text(f, j, "url", h->url, error) : status;
    status = status == HARDY_OK ? put_node(f, j, "headers", h->headers, error) : status;
    status = status == HARDY_OK ? put_node(f, j, "json", h->json, error) : status;
    status = status == HARDY_OK ? put_text(f, j, "body", h->body, error) : status;
    if (h->expect.items) {
        json_out_key(j, "expect");
        json_out_array(j);
        for (size_t i = 0; i < h->expect.count; i++) {
            json_out_string(j, h->expect.items[i]);
        }
        json_out_array_end(j);
    }
    return status;
}

static hardy_status put_ensure(struct filling *f, const struct step_ensure *e, struct json_out *j,
                               hardy_error *error) {
    hardy_status status = put_argv(f, j, "probe", &e->probe, error);
    status = status == HARDY_OK ? put_argv(f, j, "create", &e->create, error) : status;
    return status == HARDY_OK ? put_argv(f, j, "update", &e->update, error) : status;
}

static hardy_status put_file(struct filling *f, const struct step_file *s, struct json_out *j,
                             hardy_error *error) {
    hardy_status status = put_text(f, j, "folder", s->folder, error);
    status = status == HARDY_OK ? put_text(f, j, "content", s->content, error) : status;
    status = status == HARDY_OK ? put_text(f, j, "prefix", s->prefix, error) : status;
    return status == HARDY_OK ? put_text(f, j, "suffix", s->suffix, error) : status;
}

/* One variable holds 128 KiB at most. */
static hardy_status set_request(struct filling *f, const struct buf *request, hardy_error *error) {
    const char *file = request->len > REQUEST_IN_VARIABLE ? f->scope->request : NULL;
    if (!file) {
        environment_set(&f->env, "HARDY_REQUEST", "%s", request->data);
        return HARDY_OK;
    }
    environment_set(&f->env, "HARDY_REQUEST", "@%s", file);
    return file_write(file, request->data, request->len, false, error);
}

/* `hardy __http` and its like, which read what they are to do from their environment: it is not for
 * all the host's users to see, as arguments are. */
static hardy_status fill_own(struct filling *f, const struct workflow_step *step, char ***argv,
                             hardy_error *error) {
    struct buf request;
    struct json_out j;
    buf_init(&request, MAX_REQUEST);
    json_out_init(&j, &request, 0);
    json_out_object(&j);
    hardy_status status = step->kind == STEP_HTTP     ? put_http(f, &step->s.http, &j, error)
                          : step->kind == STEP_ENSURE ? put_ensure(f, &step->s.ensure, &j, error)
                                                      : put_file(f, &step->s.file, &j, error);
    json_out_object_end(&j);
    if (status == HARDY_OK && request.failed) {
        status = fail(error, HARDY_E_TOO_LARGE, NULL, "the request is larger than 16 MiB");
    }
    if (status == HARDY_OK) {
        status = set_request(f, &request, error);
    }
    if (status == HARDY_OK) {
        *argv = calloc(3, sizeof **argv);
        if (*argv) {
            (*argv)[0] = str_dup("/proc/self/exe"); /* the shim, which executes it, is hardy */
            (*argv)[1] = str_format("__%s", step_kind_text(step->kind));
        }
        if (!*argv || !(*argv)[0] || !(*argv)[1]) {
            status = fail(error, HARDY_E_NOMEM, NULL, "no memory for a command");
        }
    }
    buf_free(&request);
    return status;
}

/* --- the step -----------------------------------------------------------------------------------
 */

static void set_environment(struct filling *f) {
    struct scope *s = f->scope;
    char *path = run_step_path(s->at);
    environment_add(&f->env, s->env);
    environment_set(&f->env, "HARDY_RUN_ID", "%s", s->run->id);
    environment_set(&f->env, "HARDY_STEP", "%s", path ? path : s->at->name);
    free(path);
}

static hardy_status finish(struct filling *f, hardy_status status, struct step_command *out,
                           hardy_error *error) {
    out->env = environment_take(&f->env);
    if (status == HARDY_OK && !out->env) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for its environment");
    }
    if (status != HARDY_OK) {
        error_prefix(error, "step `%s`", f->scope->at->name);
        step_command_free(out);
    }
    return status;
}

hardy_status step_expand(struct scope *s, bool undo, struct step_command *out, hardy_error *error) {
    const struct workflow_step *step = s->at->says;
    struct filling f = {.scope = s};
    *out = (struct step_command){0};
    s->own = undo;
    set_environment(&f);
    hardy_status status = undo ? fill_command(&f, &step->s.compensate, &out->argv, error)
                          : step->kind == STEP_RUN
                              ? fill_command(&f, &step->s.run, &out->argv, error)
                              : fill_own(&f, step, &out->argv, error);
    if (status == HARDY_OK && step->s.probe.argv) {
        status = fill_command(&f, &step->s.probe, &out->probe, error);
    }
    return finish(&f, status, out, error);
}

hardy_status step_expand_until(struct scope *s, struct step_command *out, hardy_error *error) {
    const struct workflow_step *step = s->at->says;
    struct filling f = {.scope = s};
    *out = (struct step_command){0};
    set_environment(&f);
    hardy_status status = fill_command(&f, &step->s.until, &out->argv, error);
    return finish(&f, status, out, error);
}

void step_command_free(struct step_command *c) {
    environment_free_list(c->argv);
    environment_free_list(c->probe);
    environment_free_list(c->env);
    *c = (struct step_command){0};
}

static void add_list(struct sha256 *hash, char **list, const char *prefix) {
    for (char **text = list; text && *text; text++) {
        if (str_starts(*text, prefix)) {
            sha256_add_part(hash, *text, strlen(*text));
        }
    }
}

hardy_status step_inputs_hash(struct scope *s, char out[65], hardy_error *error) {
    struct step_command c;
    struct sha256 hash;
    s->without_env = true;
    hardy_status status = step_expand(s, false, &c, error);
    s->without_env = false;
    if (status != HARDY_OK) {
        return status;
    }
    sha256_init(&hash);
    sha256_add_part(&hash, s->run->id, strlen(s->run->id)); /* short values are not to be guessed */
    add_list(&hash, c.argv, "");
    add_list(&hash, c.env, "HARDY_VALUE_");
    add_list(&hash, c.env, "HARDY_REQUEST=");
    sha256_done_hex(&hash, out);
    step_command_free(&c);
    return HARDY_OK;
}

/* --- for its record -----------------------------------------------------------------------------
 */

char *step_params(const struct workflow_step *step, bool undo) {
    const char *key = undo ? "compensate" : step_kind_text(step->kind);
    struct buf text;
    buf_init(&text, MAX_PARAMS);
    buf_printf(&text, "{\"%s\":", key);
    yaml_to_json(yaml_get(step->node, key), &text);
    buf_putc(&text, '}');
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}
