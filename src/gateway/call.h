/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CALL_H
#define GATEWAY_CALL_H
/*
 * One request through the gateway. call.c is its life (waiting, the guard, the end), attempt.c what
 * it does at the upstream, answer.c what the client gets. It owns its record until it is over.
 *
 * Until the first content everything the upstream says is held back, so that another attempt can
 * take the place of one that fails. With the first content the answer begins: from there on bytes
 * are handed on as they come, and nothing is tried again.
 */
#include "drive/drive.h"
#include "gateway/inside.h"

struct call {
    struct list link;
    struct gateway *g;
    struct upstream_set *set;
    const struct upstream *up;
    struct request_record *record;
    struct http_request *request; /* NULL = answered, or the client has left */
    const char *body;             /* the request's; as long as `request` is there */
    size_t body_len;
    bool left;         /* the client has */
    bool idempotent;   /* by its method or its key */
    bool low;          /* priority */
    bool ask_identity; /* the upstream shall not compress: events must be read */
    struct http_url url;
    struct http_headers headers; /* for the upstream */
    int64_t deadline;            /* absolute, until the first content */

    /* limits learned */
    uint64_t credential;
    struct learned_cost cost;
    bool charged; /* the cost is taken, and no answer has settled it */
    bool paid;    /* of the guard's own tokens, the estimate is taken */

    /* the guard */
    struct drive *drive; /* NULL = not begun, or done */
    bool waits;
    int64_t wait_from;
    struct loop_timer timer; /* until it may begin; later the heartbeat */

    /* the attempt that runs, and what it has answered */
    uint32_t attempt;
    struct http_call *http; /* NULL = none runs */
    int status;
    struct http_headers answer;
    int64_t content_length; /* -1 = not told */
    struct buf held;
    size_t held_events;
    bool streaming; /* the answer is a stream of events, followed one by one */
    bool whole;     /* all of the answer is in `held` */
    bool terminal;
    bool stopping;                 /* an event has ended it */
    const char *piece, *piece_end; /* what is being fed; and of it, whole events to hand on */
    const char *run;
    size_t run_len;
    struct sse events;
    struct stream_reader reader;
    struct verdict verdict;
    int64_t last_progress;

    /* the client's side */
    bool begun; /* the answer has */
    bool paused;
    int64_t last_written;
};

/* --- call.c --- */
/* The attempt has ended as `verdict` says. */
void call_report(struct call *c, const struct verdict *verdict);
/* What it was estimated to cost of the learned limits is on its way no longer. */
void call_forget_cost(struct call *c);

/* While the client does not read, the upstream's silence is ours, and no time-out counts it. How
 * long the client may do so, the server decides. */
void call_note_pause(struct call *c);

/* --- attempt.c --- */
void try_start(struct call *c, uint32_t attempt);
/* A stream of which all has come is whole, not stopped. */
void try_stop(struct call *c, enum attempt_result result, const char *why);
/* The stream's terminal event has come, though its connection may stay open. */
bool try_has_all(const struct call *c);
void try_release(struct call *c); /* what it holds; nothing runs any more */

/* --- answer.c --- */
/* Begins the answer with the upstream's head; `length` of the body, -1 = not known. */
void answer_begin(struct call *c, int64_t length);
/* False: nobody reads any more. */
bool answer_data(struct call *c, const char *data, size_t len);
void answer_end(struct call *c);
/* The whole answer that is held, as it came. */
void answer_held(struct call *c);
/* The answer has begun and cannot be completed: the protocol's error, or the connection is cut. */
void answer_broken(struct call *c, const char *why);
void answer_refuse(struct call *c, enum request_outcome outcome, const struct refusal *refusal);
void answer_heartbeat(struct call *c);
#endif
