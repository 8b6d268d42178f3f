/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H
/* What a command that works with the state holds while it runs: configuration, loop, store, HTTP
 * client, and what Ctrl-C does. */
#include "cli/state.h"
#include "http/client.h"
#include "io/loop.h"
#include "store/store.h"

struct session {
    struct state state;
    struct loop *loop;
    struct store *store;
    struct http_client *client;
    bool misconfigured; /* opening failed for what the configuration says */
    bool missing; /* SESSION_READ: there is no state yet, the store is an empty one in memory */
    char *folder; /* of the configuration file, where its relative paths begin; "." without one */
    struct loop_signal *signals[3];
    int interrupted; /* the signal that asked to end; 0 = none */
    void (*on_interrupt)(void *ctx);
    void (*on_reload)(void *ctx); /* at SIGHUP; NULL: that ends it too */
    void *ctx;
};
enum session_access { SESSION_READ, SESSION_WRITE };
/* SESSION_READ: the state is not written to nor made; no loop. `purpose`: see store_options.
 * On failure the mistake was told, and session_close() is still needed. Returns the exit code, 0 =
 * open. */
int session_open(const struct options *o, enum session_access access, const char *purpose,
                 struct session *out);
void session_close(struct session *s);
/* What a list that is empty adds to the state's path. */
const char *session_missing(const struct session *s);
/* INT, TERM and HUP call `fn` once; a second one ends the program at once. */
void session_on_interrupt(struct session *s, void (*fn)(void *ctx), void *ctx);
/* The exit code that belongs to a failure. */
int session_exit(hardy_status status);
/* The environment of this process, NULL-terminated. */
const char *const *session_environment(void);
#endif
