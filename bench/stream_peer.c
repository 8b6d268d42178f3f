/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a proxy under streams, for bench/gateway.sh.
 *
 *     stream_peer serve [EVENTS [SPACING_MS]]     an upstream: prints its port; each POST gets a
 * stream of events in Anthropic's protocol, each with the time in it stream_peer load PORT PATH
 * STREAMS   as many clients at once; prints what arrived and how late: "streams events p50_us
 * p99_us first_p50_us incomplete" stream_peer hold PORT PATH STREAMS   the same, and stays until
 * standard input ends
 */
#include "base/clock.h"
#include "base/str.h"
#include "http/client.h"
#include "http/server.h"
#include "http/sse.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct loop *loop;

/* --- the upstream ----------------------------------------------------------------------------- */

static long event_count = 100;
static int64_t spacing = 20 * HARDY_MILLISECOND;

struct talk {
    struct http_request *request;
    struct loop_timer timer;
    long sent;
    bool gone;
};

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    struct talk *t = ctx;
    (void)reason;
    loop_timer_stop(loop, &t->timer);
    http_respond_end(r);
    free(t);
}

static void say_next(struct loop_timer *timer) {
    static const char last[] = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    struct talk *t = timer->ctx;
    char text[300];
    if (t->sent == event_count) {
        http_respond_data(t->request, last, sizeof last - 1);
        http_respond_end(t->request);
        free(t);
        return;
    }
    int len = snprintf(text, sizeof text,
                       "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
                       "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%019lld\"}}\n\n",
                       (long long)clock_now());
    t->sent++;
    http_respond_data(t->request, text, (size_t)len);
    loop_timer_start(loop, timer, time_add(loop_now(loop), spacing));
}

static void begin_talk(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {.gone = on_gone};
    static const char first[] =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"
        "{\"usage\":{\"input_tokens\":10}}}\n\n";
    struct talk *t = calloc(1, sizeof *t);
    (void)ctx;
    if (!t) {
        abort();
    }
    t->request = r;
    loop_timer_init(&t->timer, say_next, t);
    http_request_read(r, &events, t);
    http_respond_begin(r, 200, NULL, "text/event-stream", -1);
    http_respond_data(r, first, sizeof first - 1);
    /* Streams that begin together do not go on together. */
    loop_timer_start(loop, &t->timer,
                     time_add(loop_now(loop), (int64_t)(loop_random(loop) % (uint64_t)spacing)));
}

static int serve(void) {
    static const struct http_route route = {
        .method = "POST", .path = "*", .body_max = 1 << 20, .handle = begin_talk};
    struct http_server_options o;
    struct http_server *server;
    http_server_options_init(&o);
    o.routes = &route;
    o.route_count = 1;
    o.connection_max = 20000;
    if (http_server_open(loop, &o, &server, NULL) != HARDY_OK) {
        return 1;
    }
    printf("%u\n", http_server_port(server));
    fflush(stdout);
    loop_run(loop);
    return 0;
}

/* --- the clients ------------------------------------------------------------------------------ */

struct listening {
    struct sse events;
    int64_t asked, first;
    bool complete;
};
static int64_t *delays, *firsts;
static size_t delay_count, delay_max, first_count, open_streams, incomplete, heard;
static bool stays;

static void on_event(void *ctx, const struct sse_event *e) {
    struct listening *l = ctx;
    static const char key[] = "\"text\":\"";
    int64_t now = clock_now();
    if (e->name_len == 12 && memcmp(e->name, "message_stop", 12) == 0) {
        l->complete = true;
    }
    const char *at = memmem(e->data, e->data_len, key, sizeof key - 1);
    if (!at) {
        return;
    }
    heard++;
    if (l->first == 0) {
        l->first = now;
        firsts[first_count++] = now - l->asked;
    }
    if (delay_count < delay_max) {
        delays[delay_count++] = now - strtoll(at + sizeof key - 1, NULL, 10);
    }
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    (void)ctx, (void)call, (void)head;
}
static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    struct listening *l = ctx;
    (void)call;
    (void)sse_feed(&l->events, data, len);
}
static void over(struct listening *l) {
    incomplete += !l->complete;
    if (--open_streams == 0 && !stays) {
        loop_stop(loop);
    }
}
static void on_end(void *ctx, struct http_call *call) {
    (void)call;
    over(ctx);
}
static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    (void)call, (void)failure;
    over(ctx);
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static long long share(int64_t *values, size_t count, double part) {
    qsort(values, count, sizeof *values, by_size);
    return count == 0 ? -1 : values[(size_t)((double)(count - 1) * part)] / HARDY_MICROSECOND;
}

static int load(const char *port, const char *path, long streams) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    static const char body[] = "{\"model\":\"bench\",\"max_tokens\":1000,\"stream\":true,"
                               "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
    struct http_client_options client_options;
    struct http_url url;
    char text[300];
    http_client_options_init(&client_options);
    struct http_client *client = http_client_new(loop, &client_options, NULL);
    snprintf(text, sizeof text, "http://127.0.0.1:%s%s", port, path);
    if (!client || http_url_parse(text, &url, NULL) != HARDY_OK) {
        return 1;
    }
    delay_max = 4 << 20;
    delays = malloc(delay_max * sizeof *delays);
    firsts = malloc((size_t)streams * sizeof *firsts);
    struct listening *all = calloc((size_t)streams, sizeof *all);
    if (!delays || !firsts || !all) {
        return 1;
    }
    for (long i = 0; i < streams; i++) {
        struct http_call_options o;
        struct http_call *call;
        http_call_options_init(&o);
        o.method = "POST";
        o.url = &url;
        o.body = body;
        o.body_len = sizeof body - 1;
        o.deadline = loop_now(loop) + 5 * HARDY_MINUTE;
        all[i].asked = clock_now();
        sse_init(&all[i].events, 1 << 20, on_event, &all[i]);
        open_streams++;
        if (http_call_start(client, &o, &events, &all[i], &call, NULL) != HARDY_OK) {
            return 1;
        }
    }
    if (stays) {
        printf("open\n");
        fflush(stdout);
    }
    loop_run(loop);
    long long median = share(delays, delay_count, 0.5), late = share(delays, delay_count, 0.99);
    printf("%ld %zu %lld %lld %lld %zu\n", streams, heard, median, late,
           share(firsts, first_count, 0.5), incomplete);
    return 0;
}

static void on_input(void *ctx) {
    char text[64];
    (void)ctx;
    if (read(STDIN_FILENO, text, sizeof text) <= 0) {
        loop_stop(loop);
    }
}

int main(int argc, char **argv) {
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    loop = loop_uv_new(NULL);
    if (!loop) {
        return 1;
    }
    if (argc >= 2 && str_eq(argv[1], "serve")) {
        event_count = argc > 2 ? strtol(argv[2], NULL, 10) : event_count;
        spacing = argc > 3 ? strtol(argv[3], NULL, 10) * HARDY_MILLISECOND : spacing;
        return serve();
    }
    if (argc == 5 && (str_eq(argv[1], "load") || str_eq(argv[1], "hold"))) {
        stays = str_eq(argv[1], "hold");
        if (stays) {
            (void)loop_watch_start(loop, STDIN_FILENO, on_input, NULL);
        }
        return load(argv[2], argv[3], strtol(argv[4], NULL, 10));
    }
    fprintf(stderr,
            "usage: stream_peer serve [EVENTS [SPACING_MS]] | load|hold PORT PATH STREAMS\n");
    return 2;
}
