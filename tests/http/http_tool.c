/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client and the server as a program, for tests against real peers.
 *
 *   http_tool fetch [--ca FILE] [--method M] [--body TEXT] [--deadline D] [--first D] [--idle D]
 *                   [--repeat N] URL     prints what happened, a line of facts for each call, and
 *                                        the sha256 of the body
 *   http_tool serve      prints its port; /hello, /stream (chunked), /duplex (echoes as it comes),
 *                        /echo (whole bodies of at most 1000 bytes), /quit
 */
#include "base/clock.h"
#include "base/parse.h"
#include "base/sha256.h"
#include "base/str.h"
#include "http/fetch.h"
#include "http/server.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64 << 20)

static struct loop *loop;

/* --- fetch ----------------------------------------------------------------------------------- */

struct job {
    struct http_client *client;
    struct http_call_options options;
    int64_t deadline, left;
    struct http_fetch *fetch;
};

static void start(struct job *job);

static void on_done(void *ctx, const struct http_fetched *f) {
    struct job *job = ctx;
    char sum[65];
    sha256_hex(f->body, f->body_len, sum);
    printf("complete=%d status=%d bytes=%zu reused=%d sent=%d answered=%d retry_after=%lld "
           "reason=%s sha256=%s detail=%s\n",
           f->complete, f->status, f->body_len, f->facts.reused, f->facts.sent, f->facts.answered,
           (long long)(f->retry_after / HARDY_SECOND),
           f->complete ? "none" : close_reason_text(f->reason), sum, f->detail);
    if (--job->left > 0) {
        start(job);
    } else {
        http_client_free(job->client);
    }
}

static void start(struct job *job) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    job->options.deadline = time_add(loop_now(loop), job->deadline);
    if (http_fetch_start(job->client, &job->options, ANSWER_MAX, on_done, job, &job->fetch,
                         &error) != HARDY_OK) {
        fprintf(stderr, "http_tool: %s: %s\n", error.where, error.message);
        exit(1);
    }
}

static int64_t span_of(const char *text) {
    int64_t span;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (parse_duration(text, &span, &error) != HARDY_OK) {
        fprintf(stderr, "http_tool: %s\n", error.message);
        exit(2);
    }
    return span;
}

static int fetch(int argc, char **argv) {
    static const struct option options[] = {
        {"ca", required_argument, NULL, 'c'},     {"method", required_argument, NULL, 'm'},
        {"body", required_argument, NULL, 'b'},   {"deadline", required_argument, NULL, 'd'},
        {"first", required_argument, NULL, 'f'},  {"idle", required_argument, NULL, 'i'},
        {"repeat", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    struct http_client_options co;
    struct http_url url;
    struct job job = {.deadline = 10 * HARDY_SECOND, .left = 1};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_client_options_init(&co);
    http_call_options_init(&job.options);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            co.ca_file = optarg;
            break;
        case 'm':
            job.options.method = optarg;
            break;
        case 'b':
            job.options.body = optarg;
            job.options.body_len = strlen(optarg);
            break;
        case 'd':
            job.deadline = span_of(optarg);
            break;
        case 'f':
            job.options.first_limit = span_of(optarg);
            break;
        case 'i':
            job.options.idle_limit = span_of(optarg);
            break;
        case 'r':
            job.left = strtol(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    if (optind >= argc || http_url_parse(argv[optind], &url, &error) != HARDY_OK) {
        fprintf(stderr, "http_tool: %s\n", error.message);
        return 2;
    }
    job.options.url = &url;
    job.client = http_client_new(loop, &co, &error);
    start(&job);
    loop_run(loop);
    http_url_free(&url);
    return 0;
}

/* --- serve ----------------------------------------------------------------------------------- */

static struct http_server *server;

static void handle_hello(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_text(r, 200, "text/plain", "hello\n");
}

static void handle_stream(void *ctx, struct http_request *r) {
    char block[1000];
    (void)ctx;
    memset(block, 'x', sizeof block);
    http_respond_begin(r, 200, NULL, "text/plain", -1);
    for (int i = 0; i < 1000; i++) {
        http_respond_data(r, block, sizeof block);
    }
    http_respond_end(r);
}

static void handle_echo(void *ctx, struct http_request *r) {
    size_t len;
    const char *body = http_request_body(r, &len);
    (void)ctx;
    http_respond(r, 200, NULL, "text/plain", body, len);
}

static void duplex_data(void *ctx, struct http_request *r, const char *data, size_t len) {
    (void)ctx;
    http_respond_data(r, data, len);
}

static void duplex_end(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_end(r);
}

static void duplex_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    (void)ctx, (void)reason;
    http_respond_end(r);
}

static void handle_duplex(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {
        .data = duplex_data, .end = duplex_end, .gone = duplex_gone};
    http_request_read(r, &events, ctx);
    http_respond_begin(r, 200, NULL, "text/plain", -1);
}

static void handle_quit(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_text(r, 200, "text/plain", "bye\n");
    http_server_drain(server, time_add(loop_now(loop), HARDY_SECOND), NULL, NULL);
}

static int serve(void) {
    static const struct http_route routes[] = {
        {"GET", "/hello", 0, false, handle_hello},
        {"GET", "/stream", 0, false, handle_stream},
        {"POST", "/echo", 1000, false, handle_echo},
        {"POST", "/duplex", ANSWER_MAX, true, handle_duplex},
        {"POST", "/quit", 0, false, handle_quit},
    };
    struct http_server_options o;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_server_options_init(&o);
    o.routes = routes;
    o.route_count = sizeof routes / sizeof *routes;
    if (http_server_open(loop, &o, &server, &error) != HARDY_OK) {
        fprintf(stderr, "http_tool: %s: %s\n", error.where, error.message);
        return 1;
    }
    printf("%u\n", http_server_port(server));
    fflush(stdout);
    loop_run(loop);
    return 0;
}

int main(int argc, char **argv) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    signal(SIGPIPE, SIG_IGN);
    loop = loop_uv_new(&error);
    if (!loop || argc < 2) {
        fprintf(stderr, "usage: http_tool fetch [OPTION...] URL | http_tool serve\n");
        return 2;
    }
    int code = 2;
    if (strcmp(argv[1], "fetch") == 0) {
        code = fetch(argc - 1, argv + 1);
    } else if (strcmp(argv[1], "serve") == 0) {
        code = serve();
    }
    loop_free(loop);
    return code;
}
