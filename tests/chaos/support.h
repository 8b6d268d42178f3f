/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHAOS_SUPPORT_H
#define TESTS_CHAOS_SUPPORT_H
/* A simulated loop with the server on it, and clients that hear every byte and when it came. */
#include "../cmocka_all.h"
#include "base/buf.h"
#include "chaos/llm.h"
#include "io/loop.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage {
    struct loop *loop;
    struct chaos_llm *llm;
    struct faults faults;
    struct buf journal;
    size_t waiting; /* visits that have not ended */
    bool closed;
    struct chaos_counts counts; /* when it was closed */
};
/* `yaml`: a fault file. 1 ms latency each way. */
void stage_begin(struct stage *s, const char *yaml);
void stage_replay(struct stage *s, const struct chaos_journal *journal);
/* `set` may change the options; NULL. */
void stage_open(struct stage *s, const char *yaml, const struct chaos_journal *replay,
                void (*set)(struct chaos_llm_options *o));
void stage_run(struct stage *s); /* until every visit has ended */
void stage_wait(struct stage *s, int64_t span);
void stage_close(struct stage *s, int64_t span); /* and runs until it is closed */
void stage_end(struct stage *s);                 /* closes it if it is open */

/* One request on a connection of its own. */
struct visit {
    struct stage *stage;
    struct stream *stream;
    char *request;
    size_t leave_at;  /* bytes; then it leaves */
    int64_t leave_in; /* it leaves after this time; 0 = it does not */
    bool never_reads;
    struct buf got;
    struct {
        int64_t at; /* since the begin */
        size_t len; /* of `got` then */
    } marks[2048];
    size_t mark_count;
    int64_t began, ended;
    bool closed;
    enum close_reason reason;
    struct loop_timer begin, leave;
    /* after visit_parse() */
    int status;
    char *head;
    struct buf body;
    bool whole;     /* the framing says so */
    int64_t length; /* content-length; -1 */
};
/* `headers`: lines with their ends; may be "". `delay` until it begins. */
void visit_begin(struct visit *v, struct stage *s, const char *method, const char *path,
                 const char *headers, const char *body, int64_t delay);
void visit_parse(struct visit *v);
void visit_free(struct visit *v);
/* The whole of it: begins, runs, parses. */
void visit(struct visit *v, struct stage *s, const char *path, const char *headers,
           const char *body);
/* The value of a header of the answer; "" = none; borrowed until the next call. */
const char *visit_header(const struct visit *v, const char *name);
/* When the n-th event of the stream (from 0) had arrived, since the begin. */
int64_t visit_event_at(const struct visit *v, size_t n);

/* The events of a stream. */
struct event {
    char name[64]; /* "" = none */
    char *data;
    json_t *json; /* NULL: no JSON */
};
struct events {
    struct event *items;
    size_t count;
};
void events_parse(struct events *e, const char *body);
void events_free(struct events *e);

/* What lies at "a.b.0.c"; NULL. */
json_t *json_at(json_t *root, const char *path);
#define assert_json_text(root, path, text)                                                         \
    assert_string_equal(json_string_value(json_at(root, path)), text)
#define assert_json_int(root, path, value)                                                         \
    assert_int_equal(json_integer_value(json_at(root, path)), value)
#endif
