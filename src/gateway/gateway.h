/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H
/*
 * The gateway: agents point their base URL at it, /NAME/... goes to the upstream NAME, and what can
 * pass (overload, resets, limits, a stream that is cut before its first content) is waited for and
 * tried again here, so that the agent does not see it. Bytes pass untouched. It runs on any loop.
 */
#include "config/config.h"
#include "gateway/record.h"
#include "gateway/settings.h"
#include "observe/exposition.h"
#include "shared/host.h"

struct gateway;
/* Listens. `config` (may be NULL: defaults) is read, not kept; `settings` are taken, also on
 * failure. `host`: guards are shared with the processes of this host; borrowed, NULL = not. */
hardy_status gateway_open(struct loop *loop, const struct config *config,
                          struct gateway_settings *settings, struct host *host,
                          struct gateway **out, hardy_error *error);
uint16_t gateway_port(const struct gateway *g);
/* Where it listens, with the port it has got. */
void gateway_address(const struct gateway *g, struct http_authority *out);
/* What is loaded; borrowed until the next gateway_reload(). */
const struct gateway_settings *gateway_loaded(const struct gateway *g);
/* For what comes from now on; running requests go on as they began. On failure nothing has changed.
 * Where it listens is not changed by it. */
hardy_status gateway_reload(struct gateway *g, const struct config *config,
                            struct gateway_settings *settings, hardy_error *error);
/* Accepts nothing more; who waits, and late requests on open connections, are told to come again;
 * what is being answered may go on for the settings' `drain`, then streams end with their
 * protocol's error. `done` is called once, from the loop; then gateway_free(). A second call brings
 * the end forward. */
void gateway_drain(struct gateway *g, void (*done)(void *ctx), void *ctx);
/* At once; only when nothing runs (after `done`), or when the loop will not run again. */
void gateway_free(struct gateway *g);

bool gateway_is_draining(const struct gateway *g);
size_t gateway_active(const struct gateway *g); /* requests that are not over */
struct records *gateway_records(struct gateway *g);
void gateway_write_metrics(const struct gateway *g, struct exposition *x);
/* Objects of the API: what listens and what is loaded; upstreams with their limits; guards; the
 * requests that run. */
void gateway_status_to_json(const struct gateway *g, struct json_out *j);
void gateway_upstreams_to_json(const struct gateway *g, struct json_out *j);
void gateway_guards_to_json(const struct gateway *g, struct json_out *j);
/* One of them; null when there is none of this name. */
void gateway_guard_to_json(const struct gateway *g, const char *name, struct json_out *j);
void gateway_active_to_json(const struct gateway *g, struct json_out *j);
/* A running request by its id; NULL. */
const struct request_record *gateway_find_active(const struct gateway *g, const char *id);
/* By hand, as hardy_guard_force(). E_NOT_FOUND names the nearest. */
hardy_status gateway_force_guard(struct gateway *g, const char *name, hardy_breaker_state state,
                                 int64_t until, hardy_error *error);

/* Remedies. `told`: what was done, a sentence; else why it was not. NULL and "" are all. */
/* Closes the kept connections to an upstream; requests under way are left. E_NOT_FOUND. */
hardy_status gateway_reset_connections(struct gateway *g, const char *upstream, char told[200]);
/* See upstream_guard_lower(). E_NOT_FOUND. */
hardy_status gateway_lower_concurrency(struct gateway *g, const char *guard, double to,
                                       int64_t until, char told[200]);
#endif
