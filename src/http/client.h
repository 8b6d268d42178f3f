/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H
/*
 * The one HTTP client: HTTP/1.1 over a pool of kept connections, plain or TLS, on the loop's
 * thread. It tells facts (was the request sent, did anything come back) and judges nothing: what is
 * a failure and what may be tried again is for the policies. Redirects are not followed.
 */
#include "http/message.h"
#include "http/url.h"
#include "io/loop.h"

struct http_client_options {
    const char *ca_file;  /* PEM certificates to trust instead of the system's; copied */
    int64_t idle_limit;   /* a connection unused for longer is closed; default 30 s, and less
                             when the far side says so (Keep-Alive: timeout=N) */
    size_t idle_per_host; /* kept connections to one host; default 16 */
    size_t head_max;      /* bytes of a response's head; default 64 KiB */
    size_t header_max;    /* its fields; default 200 */
};
void http_client_options_init(struct http_client_options *o);

struct http_client;
/* Nothing is read or opened yet: trusted certificates are loaded at the first https. */
struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options,
                                    hardy_error *error);
/* Fails the running calls with CLOSE_SHUTDOWN (before it returns) and closes the kept connections;
 * their sockets are gone some turns of the loop later. */
void http_client_free(struct http_client *c);
struct loop *http_client_loop(const struct http_client *c);
size_t http_client_idle(const struct http_client *c); /* kept connections not in use */
/* Closes those to where `url` leads, NULL = all; calls under way are left. Returns how many. */
size_t http_client_close_idle(struct http_client *c, const struct http_url *url);

/* Everything is copied, but for a body that is borrowed. Times not given are HARDY_NEVER; give at
 * least one that always ends. */
struct http_call_options {
    const char *method; /* default GET */
    const struct http_url *url;
    const struct http_headers
        *headers; /* NULL = none; Host, Content-Length and the connection's
                     own headers are written by the client, and left out here */
    const void *body;
    size_t body_len;
    bool borrow_body;      /* the body stays where it is until the call ends: not copied */
    bool repeatable;       /* may be sent again where an idempotent method may: on the one occasion
                              that a kept connection turns out to be dead */
    bool fresh;            /* on a connection of its own */
    int64_t deadline;      /* absolute; ends whatever is going on */
    int64_t connect_limit; /* spans: name, TCP and TLS together */
    int64_t first_limit;   /* from the request's writing to the first byte of the answer */
    int64_t idle_limit;    /* between two pieces of the answer */
};
void http_call_options_init(struct http_call_options *o);

enum http_phase { HTTP_PHASE_CONNECT, HTTP_PHASE_WAIT, HTTP_PHASE_HEAD, HTTP_PHASE_BODY };
const char *http_phase_text(enum http_phase phase); /* "connecting" ... */

/* What happened so far; borrowed like the call. */
struct http_facts {
    enum http_phase phase;
    bool reused;   /* on a kept connection */
    bool repeated; /* the kept one was dead, so it was sent again */
    bool sent;     /* bytes of the request left this process: its effect is unknown */
    bool answered; /* bytes of an answer came back */
    int64_t started, connected, written,
        first_byte;    /* when, as far as the phase says it was reached */
    uint64_t received; /* bytes of the answer's body */
};

struct http_answer_head {
    int status;
    int minor; /* of HTTP/1 */
    const struct http_headers *headers;
    int64_t content_length; /* -1 = not known */
};

struct http_failure {
    enum close_reason reason; /* CLOSE_TIMEOUT also for each of the limits */
    const char *detail;       /* for a person; borrowed for the call */
    struct http_facts facts;
};

struct http_call;
/* All from the loop, never from inside http_call_start(). `end` or `failed` comes once, last, and
 * the call is gone when it returns; after http_call_cancel() neither comes. */
struct http_call_events {
    /* A new connection is open (not told of a kept one). May be NULL. */
    void (*connected)(void *ctx, struct http_call *call);
    void (*head)(void *ctx, struct http_call *call, const struct http_answer_head *head);
    /* A piece of the body, as it was read: of many small chunks together one piece. */
    void (*data)(void *ctx, struct http_call *call, const char *data, size_t len);
    void (*end)(void *ctx, struct http_call *call);
    void (*failed)(void *ctx, struct http_call *call, const struct http_failure *failure);
};
/* `events` borrowed. E_INVALID: a method that is no token; E_NOMEM; for https also what loading the
 * trusted certificates says. */
hardy_status http_call_start(struct http_client *client, const struct http_call_options *options,
                             const struct http_call_events *events, void *ctx,
                             struct http_call **out, hardy_error *error);
/* Closes the connection; the call is gone. */
void http_call_cancel(struct http_call *call);
/* Stops reading the answer; what was read already may still come. The idle limit rests meanwhile.
 */
void http_call_pause(struct http_call *call, bool pause);
const struct http_facts *http_call_facts(const struct http_call *call);
#endif
