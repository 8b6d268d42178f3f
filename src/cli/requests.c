/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy requests`: what happened to each request, and where its time went. */
#include "cli/requests.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/session.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT (10 * HARDY_SECOND)
#define LINE_MAX_BYTES ((size_t)1 << 20)
#define SHOWN 20 /* without -n */

enum { OPT_FOLLOW = 1, OPT_COUNT, OPT_ADMIN };

static const struct option_row rows[] = {
    {OPT_FOLLOW, "follow", 'f', NULL, "go on with those that end from now on"},
    {OPT_COUNT, "count", 'n', "N", "the last N; 20 without it"},
    {OPT_ADMIN, "admin", 0, "HOST:PORT",
     "the daemon's admin address; the configuration's "
     "without it"},
    {0},
};

/* --- the table -------------------------------------------------------------------------------- */

/* "1.2s"; "-" when it is not known. */
static void span_of(const json_t *r, const char *key, char out[48]) {
    json_t *value = json_object_get(r, key);
    str_copy(out, 48, "-");
    if (json_is_number(value)) {
        int64_t span = time_scale(HARDY_MILLISECOND, json_number_value(value));
        if (span >= HARDY_MILLISECOND || span == 0) { /* microseconds are for other places */
            span -= span % HARDY_MILLISECOND;
        }
        format_duration_short(span, out);
    }
}

static void count_of(const json_t *r, const char *key, char out[24]) {
    json_t *value = json_object_get(r, key);
    str_copy(out, 24, "-");
    if (json_is_integer(value)) {
        snprintf(out, 24, "%lld", (long long)json_integer_value(value));
    }
}

void request_print_head(void) {
    printf("%-14s  %-19s  %-9s  %6s  %-12s  %-24s  %5s  %8s  %8s  %8s  %-13s  %s\n", "TIME (UTC)",
           "ID", "OUTCOME", "STATUS", "UPSTREAM", "MODEL", "TRIES", "TOOK", "FIRST", "WAITED",
           "TOKENS", "REASON");
}

void request_print_row(const json_t *r) {
    char took[48], first[48], waited[48], status[24], tries[24], input[24], output[24], tokens[52];
    char reason[300];
    char at[32] = "-";
    if (strlen(remote_text(r, "at")) > 19) {
        snprintf(at, sizeof at, "%.5s %.8s", remote_text(r, "at") + 5, remote_text(r, "at") + 11);
    }
    span_of(r, "took_ms", took);
    span_of(r, "first_content_ms", first);
    span_of(r, "waited_ms", waited);
    count_of(r, "status", status);
    count_of(r, "attempts", tries);
    count_of(r, "input_tokens", input);
    count_of(r, "output_tokens", output);
    bool told = !str_eq(input, "-") || !str_eq(output, "-");
    snprintf(tokens, sizeof tokens, told ? "%s/%s" : "-", input, output);
    str_copy(reason, sizeof reason,
             remote_text(r, remote_text(r, "reason")[0] ? "reason" : "phase"));
    str_make_printable(reason);
    printf("%-14s  %-19s  %-9s  %6s  %-12s  %-24.24s  %5s  %8s  %8s  %8s  %-13s  %s\n", at,
           remote_text(r, "id"), remote_text(r, "outcome"), status, remote_text(r, "upstream"),
           remote_text(r, "model")[0] ? remote_text(r, "model") : "-", tries, took, first, waited,
           tokens, reason);
}

static int print_list(struct remote *remote, unsigned count, hardy_error *error) {
    char path[64];
    snprintf(path, sizeof path, "/api/v1/requests?n=%u", count);
    json_t *answer = remote_get(remote, path, LIMIT, error);
    if (!answer) {
        return EXIT_FAILED;
    }
    json_t *past = json_object_get(answer, "requests"), *r;
    json_t *running = json_object_get(answer, "running");
    size_t i;
    if (remote->o->globals.json) {
        remote_print(answer);
    } else if (json_array_size(past) + json_array_size(running) == 0) {
        printf("no requests yet\n");
    } else {
        request_print_head();
        for (i = json_array_size(past); i-- > 0;) { /* the newest last, as in a log */
            request_print_row(json_array_get(past, i));
        }
        json_array_foreach(running, i, r) {
            request_print_row(r);
        }
    }
    json_decref(answer);
    return EXIT_DONE;
}

/* --- following -------------------------------------------------------------------------------- */

struct following {
    struct remote *remote;
    struct http_call *call; /* NULL when it is over */
    struct buf line;
    int status;
    bool ended, broken;
    hardy_error *error;
};

static void stop(struct following *f) {
    f->ended = true;
    loop_stop(f->remote->loop);
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    struct following *f = ctx;
    (void)call;
    f->status = head->status;
    if (f->status == 200 && !f->remote->o->globals.json) {
        request_print_head();
        fflush(stdout);
    }
}

static void print_line(struct following *f) {
    if (f->remote->o->globals.json) {
        puts(f->line.data ? f->line.data : "");
    } else {
        json_t *r = json_loadb(f->line.data, f->line.len, 0, NULL);
        if (r) {
            request_print_row(r);
        }
        json_decref(r);
    }
    buf_reset(&f->line);
}

static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    struct following *f = ctx;
    (void)call;
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n' && f->status == 200) {
            print_line(f);
        } else {
            (void)buf_putc(&f->line, data[i]);
        }
    }
    if (fflush(stdout) != 0 || ferror(stdout)) { /* nobody reads any more: `| head` */
        stop(f);
    }
}

static void on_end(void *ctx, struct http_call *call) {
    struct following *f = ctx;
    (void)call;
    f->call = NULL;
    if (f->status != 200) {
        char text[400];
        remote_problem(f->status, f->line.data ? f->line.data : "", f->line.len, text, sizeof text);
        (void)fail(f->error, HARDY_E_FAILED, f->remote->origin, "%s", text);
        f->broken = true;
    }
    stop(f);
}

static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    struct following *f = ctx;
    (void)call;
    f->call = NULL;
    f->broken = true;
    (void)fail(f->error, failure->facts.phase == HTTP_PHASE_CONNECT ? HARDY_E_CONNECT : HARDY_E_IO,
               f->remote->origin, "%s", failure->detail);
    stop(f);
}

static void on_reader_gone(void *ctx) {
    struct following *f = ctx;
    if (!f->ended) {
        stop(f);
    }
}

/* The pipe that is standard output, to hear of its reader's end even when nothing is written. As a
 * description of its own, for to be watched it must not block. -1: it is no pipe. */
static int open_pipe(void) {
    struct stat st;
    return fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode)
               ? open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
               : -1;
}

static int follow(struct remote *remote, unsigned count, hardy_error *error) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    struct following f = {.remote = remote, .error = error};
    char path[64];
    buf_init(&f.line, LINE_MAX_BYTES);
    snprintf(path, sizeof path, "/api/v1/requests?follow=1&n=%u", count);
    if (remote_stream(remote, path, &events, &f, &f.call, error) != HARDY_OK) {
        f.ended = f.broken = true;
        f.call = NULL;
    }
    int reader = f.ended ? -1 : open_pipe();
    struct loop_watch *watch =
        reader >= 0 ? loop_watch_start(remote->loop, reader, on_reader_gone, &f) : NULL;
    while (!f.ended) {
        loop_run(remote->loop);
    }
    loop_watch_stop(watch);
    if (f.call) {
        http_call_cancel(f.call);
    }
    if (reader >= 0) {
        close(reader);
    }
    buf_free(&f.line);
    return f.broken ? EXIT_FAILED : EXIT_DONE;
}

/* --- one request: where its time went --------------------------------------------------------- */

#define MARKS_MAX 64 /* 8 attempts are kept, with 5 moments each at most */

/* The moments of a request, in the order of time; of the same time, in the order they were told. */
struct timeline {
    struct {
        double at_ms;
        char text[400];
    } marks[MARKS_MAX];
    size_t count;
};

static void mark(struct timeline *l, double at_ms, const char *format, ...) HARDY_PRINTF(3, 4);
static void mark(struct timeline *l, double at_ms, const char *format, ...) {
    va_list args;
    size_t at = l->count;
    if (l->count == MARKS_MAX) {
        return;
    }
    for (l->count++; at > 0 && l->marks[at - 1].at_ms > at_ms; at--) {
        l->marks[at] = l->marks[at - 1];
    }
    l->marks[at].at_ms = at_ms;
    va_start(args, format);
    vsnprintf(l->marks[at].text, sizeof l->marks[at].text, format, args);
    va_end(args);
}

static bool has(const json_t *object, const char *key) {
    return json_object_get(object, key) != NULL;
}

static void add_try(struct timeline *l, const json_t *t, double *ended_ms) {
    double begun = remote_number(t, "started_ms");
    char why[200];
    if (begun - *ended_ms >= 0.1) {
        mark(l, *ended_ms, "waits %.1f ms", begun - *ended_ms);
    }
    mark(l, begun, "attempt %d begins%s", (int)remote_number(t, "attempt"),
         has(t, "first_byte_ms") && !has(t, "connect_ms") ? ", on a kept connection" : "");
    if (has(t, "connect_ms")) {
        mark(l, begun + remote_number(t, "connect_ms"), "  connected");
    }
    if (has(t, "first_byte_ms")) {
        mark(l, begun + remote_number(t, "first_byte_ms"),
             "  first byte of the upstream's answer, status %d", (int)remote_number(t, "status"));
    }
    if (!has(t, "took_ms")) {
        return; /* it runs */
    }
    *ended_ms = begun + remote_number(t, "took_ms");
    str_copy(why, sizeof why, remote_text(t, "why"));
    str_make_printable(why);
    bool good = str_eq(remote_text(t, "result"), "ok");
    if (has(t, "retry_after_ms")) {
        mark(l, *ended_ms, "  %s: %s%s%s; it says: again in %.1f s", good ? "ended" : "failed",
             remote_text(t, "result"), why[0] ? ": " : "", why,
             remote_number(t, "retry_after_ms") / 1000);
    } else {
        mark(l, *ended_ms, "  %s: %s%s%s", good ? "ended" : "failed", remote_text(t, "result"),
             why[0] ? ": " : "", why);
    }
}

static void print_facts(const json_t *r) {
    static const char *const keys[] = {"guard", "client", "protocol", "session", "model"};
    char took[48], waited[48];
    span_of(r, "took_ms", took);
    span_of(r, "waited_ms", waited);
    printf("%s  %s", remote_text(r, "id"), remote_text(r, "outcome"));
    if (has(r, "status")) {
        printf("  %d", (int)remote_number(r, "status"));
    }
    printf("\n  %s %s to %s, at %s%s\n", remote_text(r, "method"), remote_text(r, "path"),
           remote_text(r, "upstream"), remote_text(r, "at"),
           json_is_true(json_object_get(r, "stream")) ? ", streamed" : "");
    printf("  took %s, %s of it waiting here; hardy's own work %.3f ms\n", took, waited,
           remote_number(r, "overhead_us") / 1000);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (has(r, keys[i])) {
            printf("  %s %s\n", keys[i], remote_text(r, keys[i]));
        }
    }
    printf("  %.0f bytes in, %.0f bytes out", remote_number(r, "bytes_in"),
           remote_number(r, "bytes_out"));
    if (has(r, "input_tokens") || has(r, "output_tokens")) {
        printf("; %.0f tokens in (%.0f of them cached), %.0f out", remote_number(r, "input_tokens"),
               remote_number(r, "cache_read_tokens"), remote_number(r, "output_tokens"));
    }
    putchar('\n');
}

static void print_timeline(const json_t *r) {
    struct timeline l = {.count = 0};
    json_t *tries = json_object_get(r, "tries"), *t;
    double ended = 0, kept = (double)json_array_size(tries), all = remote_number(r, "attempts");
    char reason[300];
    size_t i;
    mark(&l, 0, "the request has come whole");
    if (kept < all) {
        ended = remote_number(json_array_get(tries, 0), "started_ms");
        mark(&l, ended, "(%.0f earlier attempts are not kept)", all - kept);
    }
    json_array_foreach(tries, i, t) {
        add_try(&l, t, &ended);
    }
    if (has(r, "first_content_ms")) {
        mark(&l, remote_number(r, "first_content_ms"), "the answer begins at the client");
    }
    str_copy(reason, sizeof reason,
             remote_text(r, str_eq(remote_text(r, "outcome"), "running") ? "phase" : "reason"));
    str_make_printable(reason);
    /* The end of an attempt is a sum, which may be rounded to later than the end of all. */
    mark(&l, fmax(remote_number(r, "took_ms"), l.marks[l.count - 1].at_ms), "%s: %s%s%s",
         str_eq(remote_text(r, "outcome"), "running") ? "now" : "the end",
         remote_text(r, "outcome"), reason[0] ? ": " : "", reason);
    for (i = 0; i < l.count; i++) {
        printf("  %10.1f ms  %s\n", l.marks[i].at_ms, l.marks[i].text);
    }
}

static int show(struct remote *remote, const char *id, hardy_error *error) {
    struct buf path;
    json_t *r = NULL;
    buf_init(&path, 4096);
    if (buf_puts(&path, "/api/v1/requests/") && http_query_escape(&path, id)) {
        r = remote_get(remote, path.data, LIMIT, error);
    } else {
        (void)fail(error, HARDY_E_INVALID, NULL, "`%.40s...` is no request's id", id);
    }
    buf_free(&path);
    if (!r) {
        return EXIT_FAILED;
    }
    if (remote->o->globals.json) {
        remote_print(r);
    } else {
        print_facts(r);
        print_timeline(r);
    }
    json_decref(r);
    return EXIT_DONE;
}

/* --- the command ------------------------------------------------------------------------------ */

struct wish {
    bool follow;
    const char *id; /* show it; NULL = the list */
    const char *admin;
    unsigned count;
};

static int ask(const struct options *o, const struct wish *wish) {
    struct remote remote = {0};
    hardy_error error;
    int code = EXIT_USAGE;
    hardy_error_init(&error, sizeof error);
    struct config *config = serving_config(o, &code);
    if (!config) {
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    struct loop *loop = loop_uv_new(&error);
    if (!loop) {
        code = EXIT_FAILED;
    } else if (remote_open(&remote, o, loop, config, wish->admin, &error) != HARDY_OK) {
        code = session_exit(error.status);
    } else {
        code = wish->id       ? show(&remote, wish->id, &error)
               : wish->follow ? follow(&remote, wish->count, &error)
                              : print_list(&remote, wish->count, &error);
    }
    if (code != EXIT_DONE) {
        say_error(o, &error);
    }
    if (error.status == HARDY_E_CONNECT) {
        say(o, HARDY_LOG_ERROR, "no gateway runs there; 'hardy serve' starts one");
    }
    remote_close(&remote);
    if (loop) {
        loop_free(loop);
    }
    config_free(config);
    return code;
}

static int run(struct options *o) {
    struct wish wish = {.count = SHOWN};
    hardy_error error;
    int id;
    bool counted = false;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0) {
        int64_t count;
        switch (id) {
        case OPT_FOLLOW:
            wish.follow = true;
            break;
        case OPT_COUNT:
            if (parse_integer(o->value, 0, 10000, &count, &error) != HARDY_OK) {
                return options_wrong(o, "-n: %s", error.message);
            }
            wish.count = (unsigned)count;
            counted = true;
            break;
        default:
            wish.admin = o->value;
            break;
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0 && str_eq(o->argv[0], "show")) {
        if (o->argc != 2) {
            return options_wrong(o, "show takes one ID; 'hardy requests' lists them");
        }
        if (wish.follow || counted) {
            return options_wrong(o, "-f and -n go with the list, not with show");
        }
        wish.id = o->argv[1];
    } else if (o->argc > 1 || (o->argc == 1 && !str_eq(o->argv[0], "list"))) {
        return options_wrong(o, "expected list or show ID, not \"%s\"",
                             o->argv[o->argc > 1 ? 1 : 0]);
    }
    return ask(o, &wish);
}

const struct command command_requests = {
    .name = "requests",
    .alias = "request",
    .synopsis = "[list] [-f] [-n N]\nshow ID",
    .summary = "what happened to each request at the gateway, and where its time went",
    .options = rows,
    .details =
        "Asks the running gateway (hardy serve), which keeps the last gateway.keep_requests of "
        "them. OUTCOME says by whose doing a request ended: ok; caller, the request's own fault; "
        "policy, refused here (breaker, limit, queue, deadline); provider, the upstream failed as "
        "often as it was tried; cut, a stream that had begun was ended with an error; cancelled, "
        "the client left; gateway, a mistake of hardy's.\n\n"
        "No prompt, no answer and no credential is kept.",
    .examples = "hardy requests\n"
                "hardy requests -n 50 --json\n"
                "hardy requests -f    # needs the gateway, and does not end\n"
                "hardy requests show hr-0123456789abcdef    # needs such a request",
    .run = run,
};
