/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_PLAY_H
#define CHAOS_PLAY_H
/*
 * One call on its way: from the decision, over every event and every pause, to its end. Whoever
 * makes one fills in what is known; play_start() takes it from there, and `ended` is told once,
 * before the request and the play are gone.
 */
#include "chaos/journal.h"
#include "chaos/reply.h"
#include "http/server.h"

enum play_end { PLAY_COMPLETE, PLAY_AS_TOLD, PLAY_CLIENT_LEFT, PLAY_SHUT_DOWN, PLAY_REFUSED };
const char *play_end_text(enum play_end how);

struct play {
    struct play *next, *previous; /* the server's list */
    struct loop *loop;
    struct http_request *request;
    const struct dialect *dialect;
    const struct format *format; /* NULL: `document` is the answer */
    struct buf document;
    struct ask ask;
    struct reply reply;
    struct fault_decision decision;
    char request_id[REPLY_ID_SIZE];
    char key[CHAOS_KEY_SIZE];
    uint32_t attempt;
    uint64_t number;
    int64_t began, wall;
    struct meter meter;
    void (*ended)(void *ctx, struct play *p, enum play_end how);
    void *ctx;

    /* private to play.c */
    struct loop_timer timer;
    void (*step)(struct play *p);
    int64_t due;
    int status;
    uint32_t sent, after;
    bool begun, told, blocked;
};

void play_start(struct play *p);
/* Answers with an error of the API instead: the request is not one that could be answered. */
void play_refuse(struct play *p, const struct failure *why);
/* Ends it, and its connection, now. */
void play_stop(struct play *p);
/* When it goes on by itself; HARDY_NEVER while it waits for its client. */
int64_t play_due(const struct play *p);
#endif
