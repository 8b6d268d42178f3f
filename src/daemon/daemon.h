/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H
/*
 * `hardy serve`: the gateway, the admin API, health and metrics on one loop, from one configuration
 * that can be loaded again. Signals, and what is printed, are the caller's.
 */
#include "config/config.h"
#include "gateway/gateway.h"

struct daemon;
struct daemon_options { /* copied; what it points to is borrowed while the daemon lives */
    struct loop *loop;
    /* Reads the configuration again; the result is taken. */
    hardy_status (*load)(void *ctx, struct config **out, hardy_error *error);
    void *ctx;
    const char *listen, *admin; /* in place of the configuration's addresses; NULL = not */
    const char *state;          /* a file; NULL = guards are this process's own, and so are actions
                                 * and checkpoints: they end with it */
    const char *state_problem;  /* why they are, though they should not be; NULL = they should */
    const char *token; /* the file with the token for changes; NULL = there is no place for one */
    const char *const *env; /* of commands; NULL = ours */
    bool watch;             /* follows the configuration's file */
    /* Serves one command only: takes a free port where the address is taken; runs no checks, and no
     * listener for health. */
    bool companion;
};

/* `config` is taken, also on failure; only from outside the loop, which runs for a moment when
 * something cannot be opened. Errors: of the configuration E_SYNTAX and E_INVALID with the place;
 * E_EXISTS: an address is taken, and what to do then; of the state, where on_state_error: refuse.
 */
hardy_status daemon_open(const struct daemon_options *options, struct config *config,
                         struct daemon **out, hardy_error *error);
/* Loads the configuration again. One that is refused is logged, and changes nothing. */
void daemon_reload(struct daemon *d);
/* Not ready from now on; what runs may end (gateway_drain()); `ended` is called once, from the
 * loop, some seconds behind the settings' `drain` at the latest. A second call brings the end
 * forward. */
void daemon_drain(struct daemon *d, void (*ended)(void *ctx), void *ctx);
void daemon_free(struct daemon *d); /* after `ended` */

struct gateway *daemon_gateway(const struct daemon *d);
void daemon_admin_address(const struct daemon *d, struct http_authority *out);
#endif
