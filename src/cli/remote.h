/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H
/* A daemon that runs elsewhere, asked through its admin API. */
#include "cli/options.h"
#include "cli/variables.h"
#include "config/config.h"
#include "http/client.h"
#include <jansson.h>

#define REMOTE_TEXT_MAX ((size_t)64 << 20)

struct remote {
    const struct options *o;
    struct loop *loop; /* borrowed; nothing else is on it until remote_close() */
    struct http_client *client;
    char origin[ORIGIN_SIZE]; /* "http://127.0.0.1:4274" */
    char *authorization;      /* "Bearer ..."; NULL = no token was found */
};
/* Where `address` says (--admin), else the configuration. Nothing is connected yet. Errors are
 * those of the configuration, or of --admin. remote_close() also after a failure. */
hardy_status remote_open(struct remote *r, const struct options *o, struct loop *loop,
                         const struct config *config, const char *address, hardy_error *error);
void remote_close(struct remote *r);

/* The JSON that is answered at `path`, owned by the caller; NULL: `error` says why. E_CONNECT:
 * nobody listens there. Runs the loop. */
json_t *remote_get(struct remote *r, const char *path, int64_t limit, hardy_error *error);
/* Starts a call whose answer is followed as it comes. */
hardy_status remote_stream(struct remote *r, const char *path,
                           const struct http_call_events *events, void *ctx, struct http_call **out,
                           hardy_error *error);
/* Of an answer that is no 200: the problem's detail, or its status. */
void remote_problem(int status, const char *body, size_t len, char *out, size_t size);

/* Members of objects: "" and 0 when they are missing. */
const char *remote_text(const json_t *object, const char *key);
double remote_number(const json_t *object, const char *key);
/* For --json: to stdout, indented. */
void remote_print(const json_t *value);
#endif
