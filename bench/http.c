/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs that http.sh measures with:
 *
 *   bench_http serve      prints two ports: of the HTTP server, and of a bare socket that answers
 *                         whatever it reads with the same bytes (the floor), until it is ended
 *   bench_http load PORT HTTP_PORT TARGET CALLS AT_ONCE BODY
 *                         makes so many calls to PORT and prints "RATE CPU": pieces of answer a
 *                         second, and microseconds of the server's CPU time for each
 *
 * Targets: /reply (a thousand bytes, whatever the body), /events (100 events, one a millisecond),
 * /usage (the server's CPU time so far, in nanoseconds).
 */
#include "base/clock.h"
#include "http/fetch.h"
#include "http/server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define REPLY_LEN 1000
#define EVENTS 100
#define EVENT_GAP HARDY_MILLISECOND
#define BODY_MAX ((size_t)1 << 20)
#define AT_ONCE_MAX 1000

static struct loop *loop;
static char filler[BODY_MAX];

/* --- serve ----------------------------------------------------------------------------------- */

static void handle_reply(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond(r, 200, NULL, "application/json", filler, REPLY_LEN);
}

static void handle_usage(void *ctx, struct http_request *r) {
    struct rusage usage;
    char text[40];
    (void)ctx;
    getrusage(RUSAGE_SELF, &usage);
    long long ns = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * HARDY_SECOND +
                   (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * HARDY_MICROSECOND;
    snprintf(text, sizeof text, "%lld", ns);
    http_respond_text(r, 200, "text/plain", text);
}

struct talk {
    struct http_request *request;
    struct loop_timer timer;
    int left;
};

static void on_event_due(struct loop_timer *timer) {
    static const char event[] =
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
        "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"word\"}}\n\n";
    struct talk *t = timer->ctx;
    if (t->left-- > 0 && http_respond_data(t->request, event, sizeof event - 1)) {
        loop_timer_start(loop, timer, time_add(loop_now(loop), EVENT_GAP));
    } else {
        http_respond_end(t->request);
        free(t);
    }
}

static void handle_events(void *ctx, struct http_request *r) {
    struct talk *t = calloc(1, sizeof *t);
    (void)ctx;
    if (!t) {
        http_respond_text(r, 503, "text/plain", "no memory");
        return;
    }
    t->request = r;
    t->left = EVENTS;
    loop_timer_init(&t->timer, on_event_due, t);
    http_respond_begin(r, 200, NULL, "text/event-stream", -1);
    loop_timer_start(loop, &t->timer, time_add(loop_now(loop), EVENT_GAP));
}

static char bare_answer[REPLY_LEN + 200];

static void bare_data(void *ctx, struct stream *s, const char *data, size_t len) {
    (void)ctx, (void)data, (void)len;
    (void)stream_write(s, bare_answer, strlen(bare_answer));
}

static void bare_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    (void)ctx, (void)s, (void)reason, (void)detail;
}

static void bare_accepted(void *ctx, struct stream *s) {
    static const struct stream_events events = {.data = bare_data, .closed = bare_closed};
    stream_set_events(s, &events, ctx);
}

static int serve(void) {
    static const struct http_route routes[] = {{NULL, "/reply", BODY_MAX, false, handle_reply},
                                               {"GET", "/events", 0, false, handle_events},
                                               {"GET", "/usage", 0, false, handle_usage}};
    static const struct listener_events bare_events = {.accepted = bare_accepted};
    struct http_server_options options;
    struct http_server *server;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_server_options_init(&options);
    options.routes = routes;
    options.route_count = sizeof routes / sizeof *routes;
    struct listener *bare = listener_open(loop, "127.0.0.1", 0, &bare_events, NULL, &error);
    if (!bare || http_server_open(loop, &options, &server, &error) != HARDY_OK) {
        fprintf(stderr, "bench_http: %s: %s\n", error.where, error.message);
        return 1;
    }
    snprintf(bare_answer, sizeof bare_answer,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%.*s",
             REPLY_LEN, REPLY_LEN, filler);
    printf("%u %u\n", (unsigned)http_server_port(server), (unsigned)listener_port(bare));
    fflush(stdout);
    loop_run(loop);
    return 0;
}

/* --- load ------------------------------------------------------------------------------------ */

static struct {
    struct http_client *client;
    struct http_call_options options;
    long left, open, ended, pieces;
    char usage[40];
} load;

static void start(void);

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    (void)ctx, (void)call;
    if (head->status != 200) {
        fprintf(stderr, "bench_http: answered %d\n", head->status);
        exit(1);
    }
}

static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    (void)ctx, (void)call;
    size_t kept = len < sizeof load.usage - 1 ? len : sizeof load.usage - 1;
    memcpy(load.usage, data, kept);
    load.usage[kept] = '\0';
    load.pieces++;
}

static void on_end(void *ctx, struct http_call *call) {
    (void)ctx, (void)call;
    load.open--;
    load.ended++;
    start();
}

static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    (void)ctx, (void)call;
    fprintf(stderr, "bench_http: %s\n", failure->detail);
    exit(1);
}

static void start(void) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    struct http_call *call;
    if (load.left == 0) {
        if (load.open == 0) {
            loop_stop(loop);
        }
        return;
    }
    load.left--;
    load.open++;
    load.options.deadline = time_add(loop_now(loop), HARDY_MINUTE);
    if (http_call_start(load.client, &load.options, &events, NULL, &call, NULL) != HARDY_OK) {
        exit(1);
    }
}

static void run(long calls, long at_once) {
    load.left = calls;
    load.pieces = load.ended = 0;
    for (long i = 0; i < at_once; i++) {
        start();
    }
    loop_run(loop);
}

static long long usage_now(const char *port) {
    struct http_url url;
    const struct http_call_options measured = load.options;
    char text[100];
    snprintf(text, sizeof text, "http://127.0.0.1:%s/usage", port);
    if (http_url_parse(text, &url, NULL) != HARDY_OK) {
        exit(2);
    }
    http_call_options_init(&load.options);
    load.options.url = &url;
    run(1, 1);
    http_url_free(&url);
    load.options = measured;
    return strtoll(load.usage, NULL, 10);
}

static int make_load(const char *port, const char *http_port, const char *target, long calls,
                     long at_once, size_t body) {
    struct http_client_options options;
    struct http_url url;
    char text[200];
    http_client_options_init(&options);
    options.idle_per_host = AT_ONCE_MAX;
    load.client = http_client_new(loop, &options, NULL);
    snprintf(text, sizeof text, "http://127.0.0.1:%s%s", port, target);
    if (!load.client || at_once > AT_ONCE_MAX || body > BODY_MAX ||
        http_url_parse(text, &url, NULL) != HARDY_OK) {
        return 2;
    }
    http_call_options_init(&load.options);
    load.options.url = &url;
    load.options.method = body > 0 ? "POST" : "GET";
    load.options.body = filler;
    load.options.body_len = body;
    load.options.borrow_body = true;
    run(at_once, at_once); /* connections are made */
    long long before = usage_now(http_port);
    int64_t begun = loop_clock(loop);
    run(calls, at_once);
    double seconds = (double)(loop_clock(loop) - begun) / 1e9;
    double pieces = (double)load.pieces;
    double cpu = (double)(usage_now(http_port) - before) / 1e3;
    printf("%.0f %.1f\n", pieces / seconds, cpu / pieces);
    http_client_free(load.client);
    http_url_free(&url);
    loop_run(loop);
    return 0;
}

int main(int argc, char **argv) {
    int result = 2;
    signal(SIGPIPE, SIG_IGN);
    memset(filler, 'x', sizeof filler);
    loop = loop_uv_new(NULL);
    if (loop && argc == 2 && strcmp(argv[1], "serve") == 0) {
        result = serve();
    } else if (loop && argc == 8 && strcmp(argv[1], "load") == 0) {
        result = make_load(argv[2], argv[3], argv[4], strtol(argv[5], NULL, 10),
                           strtol(argv[6], NULL, 10), strtoul(argv[7], NULL, 10));
    }
    loop_free(loop);
    return result;
}
