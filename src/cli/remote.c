/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/remote.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/serving.h"
#include "daemon/settings.h"
#include "daemon/token.h"
#include "http/fetch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_LIMIT (2 * HARDY_SECOND)

/* --- where, and with what --------------------------------------------------------------------- */

/* The token is only needed for some things: without one, those are refused. */
static void find_token(struct remote *r, const struct config *config,
                       const struct admin_settings *settings) {
    char *token = NULL, *state = NULL;
    struct admin_settings read = {0};
    if (settings->token_file) {
        if (admin_settings_read(config, &read, NULL) == HARDY_OK) {
            token = str_dup(read.token);
        }
        admin_settings_free(&read);
    } else {
        (void)config_state_path(config, r->o->globals.state, &state, NULL);
        char *path = token_path(state);
        if (path) {
            (void)token_read(path, &token, NULL);
        }
        free(path);
        free(state);
    }
    r->authorization = token ? str_format("Bearer %s", token) : NULL;
    free(token);
}

hardy_status remote_open(struct remote *r, const struct options *o, struct loop *loop,
                         const struct config *config, const char *address, hardy_error *error) {
    struct http_client_options client;
    struct admin_settings settings = {0};
    struct http_authority given;
    *r = (struct remote){.o = o, .loop = loop};
    http_client_options_init(&client);
    hardy_status status = admin_settings_look(config, &settings, error);
    if (status == HARDY_OK && address) {
        if (listen_parse(address, &given) && given.port > 0) {
            settings.address = given;
        } else {
            status = fail(error, HARDY_E_INVALID, "--admin",
                          "`%s` is not HOST:PORT, such as 127.0.0.1:4274", address);
        }
    }
    if (status == HARDY_OK && settings.address.port == 0) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "admin.listen is %s, a free port: say with --admin which one it has got",
                      settings.listen);
    }
    if (status == HARDY_OK) {
        origin_text(&settings.address, r->origin);
        find_token(r, config, &settings);
        r->client = http_client_new(loop, &client, error);
        status = r->client ? HARDY_OK : HARDY_E_NOMEM;
    }
    admin_settings_free(&settings);
    return status;
}

void remote_close(struct remote *r) {
    if (r->client) {
        http_client_free(r->client);
        loop_run(r->loop); /* what it had open is closed */
    }
    free(r->authorization);
    *r = (struct remote){0};
}

/* --- calls ------------------------------------------------------------------------------------ */

struct call {
    struct http_url url;
    struct http_headers headers;
    struct http_call_options options;
};

static hardy_status make_call(const struct remote *r, const char *path, struct call *c,
                              hardy_error *error) {
    char *text = str_format("%s%s", r->origin, path);
    http_headers_init(&c->headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    c->url = (struct http_url){0};
    hardy_status status =
        text ? http_url_parse(text, &c->url, error) : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    free(text);
    if (status == HARDY_OK && r->authorization) {
        status = http_headers_add(&c->headers, "authorization", r->authorization);
    }
    http_call_options_init(&c->options);
    c->options.url = &c->url;
    c->options.headers = &c->headers;
    c->options.connect_limit = CONNECT_LIMIT;
    return status;
}

static void free_call(struct call *c) {
    http_url_free(&c->url);
    http_headers_free(&c->headers);
}

void remote_problem(int status, const char *body, size_t len, char *out, size_t size) {
    json_t *problem = json_loadb(body, len, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    snprintf(out, size, "%.300s (%d %s)", detail ? detail : "the daemon refuses", status,
             http_status_text(status));
    str_make_printable(out);
    json_decref(problem);
}

struct answer {
    struct remote *remote;
    json_t *json;
    hardy_error *error;
    bool done;
};

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct answer *a = ctx;
    char text[400];
    a->done = true;
    loop_stop(a->remote->loop);
    if (!f->complete) {
        bool nobody = f->facts.phase == HTTP_PHASE_CONNECT;
        (void)fail(a->error, nobody ? HARDY_E_CONNECT : HARDY_E_IO, a->remote->origin, "%s",
                   http_fetched_why(f));
    } else if (f->status != 200) {
        remote_problem(f->status, f->body, f->body_len, text, sizeof text);
        (void)fail(a->error, f->status == 404 ? HARDY_E_NOT_FOUND : HARDY_E_FAILED,
                   a->remote->origin, "%s", text);
    } else {
        a->json = json_loadb(f->body, f->body_len, 0, NULL);
        if (!a->json) {
            (void)fail(a->error, HARDY_E_PROTOCOL, a->remote->origin,
                       "what answers there is not hardy: no JSON came back");
        }
    }
}

json_t *remote_get(struct remote *r, const char *path, int64_t limit, hardy_error *error) {
    struct call call;
    struct http_fetch *fetch;
    struct answer answer = {.remote = r, .error = error};
    hardy_status status = make_call(r, path, &call, error);
    call.options.deadline = time_add(loop_now(r->loop), limit);
    if (status == HARDY_OK) {
        status = http_fetch_start(r->client, &call.options, REMOTE_TEXT_MAX, on_fetched, &answer,
                                  &fetch, error);
    }
    free_call(&call);
    while (status == HARDY_OK && !answer.done) {
        loop_run(r->loop);
    }
    return answer.json;
}

hardy_status remote_stream(struct remote *r, const char *path,
                           const struct http_call_events *events, void *ctx, struct http_call **out,
                           hardy_error *error) {
    struct call call;
    hardy_status status = make_call(r, path, &call, error);
    if (status == HARDY_OK) {
        status = http_call_start(r->client, &call.options, events, ctx, out, error);
    }
    free_call(&call);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

const char *remote_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double remote_number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

void remote_print(const json_t *value) {
    char *text = json_dumps(value, JSON_INDENT(2));
    puts(text ? text : "{}");
    free(text);
}
