/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webhook-receiver: the far side of a page or a webhook, to look at what hardy sends.
 *
 *     webhook-receiver --listen 127.0.0.1:0 --out FILE [--fail N]
 *
 * Prints the address it listens on. Each JSON body that is posted, to whatever path, becomes one
 * line of FILE and is answered with 200; with --fail N the first N are answered with 500 and not
 * written, as by a receiver that has trouble. Ends with SIGINT or SIGTERM.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include "http/problem.h"
#include "http/server.h"
#include "http/url.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX (1024 * 1024)
#define DRAIN_LIMIT (2 * HARDY_SECOND)

struct receiver {
    struct loop *loop;
    struct http_server *server;
    const char *path;
    int out;
    int64_t fail; /* how many more get 500 */
    struct loop_signal *interrupt, *terminate;
};

/* The line breaks between the values of a document are white space; inside strings there are none.
 */
static bool write_line(const struct receiver *r, const char *json, size_t len) {
    struct buf line;
    buf_init(&line, BODY_MAX + 1);
    buf_append(&line, json, len);
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] == '\n' || line.data[i] == '\r') {
            line.data[i] = ' ';
        }
    }
    buf_putc(&line, '\n');
    bool ok = !line.failed && write(r->out, line.data, line.len) == (ssize_t)line.len;
    buf_free(&line);
    return ok;
}

static void receive(void *ctx, struct http_request *request) {
    struct receiver *r = ctx;
    size_t len;
    const char *body = http_request_body(request, &len);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (r->fail > 0) {
        r->fail--;
        http_problem(request, 500, NULL, NULL, NULL, "asked to fail by --fail");
    } else if (json_check(body, len, &error) != HARDY_OK) {
        http_problem(request, 400, NULL, NULL, NULL, error.message);
    } else if (!write_line(r, body, len)) {
        fprintf(stderr, "webhook-receiver: cannot write %s: %s\n", r->path, strerror(errno));
        http_problem(request, 500, NULL, NULL, NULL, "the line cannot be written");
    } else {
        http_respond_text(request, 200, "application/json", "{\"status\":\"success\"}");
    }
}

static void on_drained(void *ctx) {
    loop_stop(((struct receiver *)ctx)->loop);
}

static void on_signal(void *ctx, int signum) {
    struct receiver *r = ctx;
    (void)signum;
    if (r->server) {
        http_server_drain(r->server, time_add(loop_now(r->loop), DRAIN_LIMIT), on_drained, r);
        r->server = NULL;
    }
}

static int usage(const char *why) {
    fprintf(stderr,
            "webhook-receiver: %s\n"
            "usage: webhook-receiver --listen HOST:PORT --out FILE [--fail N]\n"
            "    PORT 0 takes a free one; example: --listen 127.0.0.1:0 --out pages.jsonl\n",
            why);
    return 2;
}

static int serve(struct receiver *r, const char *host, uint16_t port) {
    static const struct http_route routes[] = {{"POST", "/*", BODY_MAX, false, receive}};
    struct http_server_options options;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_server_options_init(&options);
    options.host = host;
    options.port = port;
    options.routes = routes;
    options.route_count = 1;
    options.ctx = r;
    r->loop = loop_uv_new(&error);
    if (!r->loop || http_server_open(r->loop, &options, &r->server, &error) != HARDY_OK) {
        fprintf(stderr, "webhook-receiver: %s: %s\n", error.where, error.message);
        if (r->loop) {
            loop_free(r->loop);
        }
        return 1;
    }
    r->interrupt = loop_signal_start(r->loop, SIGINT, on_signal, r);
    r->terminate = loop_signal_start(r->loop, SIGTERM, on_signal, r);
    struct http_authority address = {.port = http_server_port(r->server)};
    char text[HTTP_AUTHORITY_SIZE];
    snprintf(address.host, sizeof address.host, "%s", host);
    http_authority_format(&address, 0, text);
    printf("http://%s/\n", text);
    fflush(stdout);
    loop_run(r->loop);
    loop_signal_stop(r->interrupt);
    loop_signal_stop(r->terminate);
    loop_free(r->loop);
    return 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"fail", required_argument, NULL, 'f'},
                                            {NULL, 0, NULL, 0}};
    struct receiver r = {.out = -1};
    struct http_authority address;
    const char *listen = "127.0.0.1:0";
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'l') {
            listen = optarg;
        } else if (c == 'o') {
            r.path = optarg;
        } else if (c == 'f') {
            if (parse_integer(optarg, 0, 1000000, &r.fail, &error) != HARDY_OK) {
                return usage(error.message);
            }
        } else {
            return usage("unknown option");
        }
    }
    if (optind < argc || !r.path) {
        return usage("--out is needed, and nothing but options");
    }
    /* Port 0 is no port a URL may have, but one that may be listened on. */
    size_t len = strlen(listen);
    bool any = len > 2 && strcmp(listen + len - 2, ":0") == 0;
    if (http_authority_parse(listen, any ? len - 2 : len, &address, &error) != HARDY_OK) {
        return usage(error.message);
    }
    if (!any && address.port == 0) {
        return usage("--listen needs a port");
    }
    r.out = open(r.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (r.out < 0) {
        fprintf(stderr, "webhook-receiver: cannot open %s: %s\n", r.path, strerror(errno));
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    int code = serve(&r, address.host, address.port);
    close(r.out);
    return code;
}
