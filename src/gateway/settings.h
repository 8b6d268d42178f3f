/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H
/* The sections `gateway:` and `upstreams:`. Without them: the two upstreams anthropic and openai,
 * on 127.0.0.1:4273. */
#include "config/config.h"
#include "http/url.h"
#include "settings/guards.h"

/* What an upstream speaks. */
enum upstream_protocol { UPSTREAM_HTTP, UPSTREAM_ANTHROPIC, UPSTREAM_OPENAI };
const char *upstream_protocol_text(enum upstream_protocol protocol);

struct upstream_settings {
    char *name; /* the first part of its path: /NAME/... */
    char *url_text;
    struct http_url url; /* its target is what goes before the rest of a request's path */
    int protocol;
    char *guard;    /* of `guards:`; NULL = the one of the upstream's own name, or the defaults */
    char *key_file; /* NULL = the client's own credential is passed on */
    char *key;      /* what the file holds */
    bool streams;   /* protocol http: answers are handed on as they come, none is held */
};
struct gateway_client_settings {
    char *name;
    char *token_file;
    char *token; /* what the file holds */
};
struct gateway_settings {
    char *listen;
    struct schema_strings hosts;
    struct schema_list clients; /* gateway_client_settings; none = everybody who can connect */
    uint64_t max_body;          /* of one request */
    uint64_t max_memory;        /* all bodies of requests together */
    uint32_t max_connections;
    int64_t drain;     /* how long streams may go on after SIGTERM */
    int64_t heartbeat; /* a comment on an open stream that is silent for so long; HARDY_NEVER */
    uint32_t keep_requests;        /* records of past requests */
    struct http_authority address; /* of `listen` */
    struct upstream_settings *upstreams;
    size_t upstream_count;
};
extern const struct schema_section gateway_section, upstream_section;

/* Files named in it (keys, tokens) are read, relative to the configuration's folder. E_SYNTAX,
 * E_INVALID with the place. gateway_settings_free() also after a failure. `config` may be NULL. */
hardy_status gateway_settings_read(const struct config *config, struct gateway_settings *out,
                                   hardy_error *error);
/* The same without those files: for who only wants to know what is configured. */
hardy_status gateway_settings_look(const struct config *config, struct gateway_settings *out,
                                   hardy_error *error);
/* Listens there in place of what was read, as --listen says. */
hardy_status gateway_settings_listen(struct gateway_settings *s, const char *listen,
                                     hardy_error *error);
void gateway_settings_free(struct gateway_settings *s);
/* What the guard of this name is before its own map is read: as the first upstream that uses it
 * says; false: none does. */
bool gateway_guard_base(const struct gateway_settings *s, const char *guard, enum guard_base *out);
/* Whether an upstream of the protocol http uses it: each request says whether it may be repeated.
 */
bool gateway_guard_is_plain(const struct gateway_settings *s, const char *guard);
/* "HOST:PORT"; port 0 = a free one. */
bool listen_parse(const char *text, struct http_authority *out);
/* A copy of `listen` in place of what a configuration said. */
hardy_status listen_replace(char **text, const char *listen, hardy_error *error);
/* The loopback: others cannot connect. */
bool listens_on_loopback(const struct http_authority *address);
#endif
