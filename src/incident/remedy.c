/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/remedy.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "work/environment.h"
#include "work/joined.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 1 << 20, MAX_REQUEST = 100 << 10, MAX_OUTPUT = 64 << 10 };

/* One request, made by hardy under the shim, which is hardy too. */
static const char *const own_http[] = {"/proc/self/exe", "__http", NULL};

static void put_argv(struct json_out *j, char *const *argv) {
    json_out_array(j);
    for (; *argv; argv++)
        json_out_string(j, *argv);
    json_out_array_end(j);
}

/* What `hardy __http` is to send. */
static void put_request(struct json_out *j, const struct call_settings *c) {
    json_out_object(j);
    json_out_member_string(j, "method", c->method);
    json_out_member_string(j, "url", c->url);
    if (c->body)
        json_out_member_string(j, "body", c->body);
    json_out_key(j, "headers");
    json_out_object(j);
    for (size_t n = 0; n < c->headers.count; n++) {
        const char *line = c->headers.items[n], *value = strchr(line, ':');
        char *name = str_format("%.*s", (int)(value ? value - line : 0), line);
        json_out_key(j, name ? name : "");
        json_out_string(j, value ? value + 1 + strspn(value + 1, " \t") : "");
        free(name);
    }
    json_out_object_end(j);
    json_out_object_end(j);
}

/* What identifies the remedy: what is run, and how many there are to be. */
static char *params_of(const struct action_settings *a, int64_t to) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_PARAMS);
    json_out_init(&j, &text, 0);
    if (a->scale.source) {
        json_out_object(&j);
        json_out_key(&j, "scale_to");
        json_out_int(&j, to);
        json_out_key(&j, "run");
    }
    if (a->http.url)
        put_request(&j, &a->http);
    else
        put_argv(&j, a->run.argv);
    if (a->scale.source)
        json_out_object_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}

static char **environment_of(const struct incident *i, const struct action_settings *a,
                             const char *const *env, int64_t from, int64_t to) {
    struct environment e = {0};
    struct buf request;
    struct json_out j;
    environment_add(&e, env);
    environment_set(&e, "HARDY_INCIDENT", "%s", i->id);
    environment_set(&e, "HARDY_SERVICE", "%s", i->service);
    if (a->scale.source) {
        environment_set(&e, "HARDY_SCALE_FROM", "%lld", (long long)from);
        environment_set(&e, "HARDY_SCALE_TO", "%lld", (long long)to);
    }
    if (a->http.url) {
        buf_init(&request, MAX_REQUEST);
        json_out_init(&j, &request, 0);
        put_request(&j, &a->http);
        environment_set(&e, "HARDY_REQUEST", "%s", request.failed ? "" : request.data);
        buf_free(&request);
    }
    return environment_take(&e);
}

static const char **argv_of(const struct action_settings *a) {
    if (!a->http.url)
        return joined_argv(a->run.argv);
    const char **argv = calloc(1, sizeof own_http);
    if (argv)
        memcpy(argv, own_http, sizeof own_http);
    return argv;
}

hardy_status remedy_prepare(struct remedy *r, const struct incident *i,
                            const struct action_settings *action, const char *const *env,
                            const char *cwd, int64_t keep, hardy_error *error) {
    int64_t from = 0, to = 0;
    remedy_free(r);
    if (action->scale.source) {
        hardy_status status = action_scale(action, i->evidence, &from, &to, error);
        if (status != HARDY_OK)
            return status;
    }
    r->key = incident_remedy_key(i);
    r->params = params_of(action, to);
    r->env = environment_of(i, action, env, from, to);
    r->argv = argv_of(action);
    if (!r->key || !r->params || !r->env || !r->argv)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the remedy %s", action->name);
    r->require = (struct store_op){
        .kind = STORE_REQUIRE, .row_kind = "incident", .key = i->id, .if_fence = i->fence};
    r->spec = (struct command_spec){.row_kind = "remedy",
                                    .key = r->key,
                                    .name = action->name,
                                    .scope = r->key,
                                    .params = r->params,
                                    .argv = r->argv,
                                    .env = (const char *const *)r->env,
                                    .cwd = cwd,
                                    .timeout = action->timeout,
                                    .deadline = HARDY_NEVER,
                                    .ttl = keep,
                                    .max_output = MAX_OUTPUT,
                                    .in_doubt = (enum in_doubt_policy)action->in_doubt,
                                    .probe = (const char *const *)action->probe.argv,
                                    .attach = true,
                                    .with_start = &r->require,
                                    .with_start_count = 1,
                                    .program = action->http.url != NULL};
    return HARDY_OK;
}

void remedy_free(struct remedy *r) {
    free(r->key);
    free(r->params);
    environment_free_list(r->env);
    free(r->argv);
    *r = (struct remedy){0};
}

void remedy_hint(const char *output, char *out, size_t size) {
    const char *first = output ? output + strspn(output, " \t\r\n") : "";
    size_t first_len = strcspn(first, "\r\n"), end = strlen(first);
    out[0] = '\0';
    while (end > 0 && strchr(" \t\r\n", first[end - 1]))
        end--;
    size_t begin = end;
    while (begin > 0 && first[begin - 1] != '\n' && first[begin - 1] != '\r')
        begin--;
    if (first_len == 0)
        return;
    if (begin == 0)
        snprintf(out, size, "%.*s", (int)(end < 300 ? end : 300), first);
    else
        snprintf(out, size, "%.*s ... %.*s", (int)(first_len < 200 ? first_len : 200), first,
                 (int)(end - begin < 150 ? end - begin : 150), first + begin);
    str_make_printable(out);
}
