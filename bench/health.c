/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer of /health/ready costs while checks hang, and what running checks costs.
 *
 * Answers: the median time of a call on a kept connection, over the loopback; /health/ready with 20
 * checks, first all of them well, then 5 of them hanging, beside /health/live, the floor, which
 * looks at nothing. Checks: CPU time of one tcp check when 200 run each second, beside a bare
 * blocking connect() and close() to the same listener.
 */
#include "base/clock.h"
#include "health/serve.h"
#include "http/fetch.h"
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS = 4000, CHECKS = 20, HANG = 5, TCP_CHECKS = 200, SECONDS = 5, BARE = 2000 };

static struct loop *loop;
static struct http_client *client;
static hardy_error error;

static void give_up(const char *what) {
    fprintf(stderr, "health: %s: %s\n", what, error.message);
    exit(1);
}

static int64_t cpu_time(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * HARDY_SECOND +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * HARDY_MICROSECOND;
}

/* A process that accepts and closes at once; its port. Another one that does not even accept. */
static uint16_t far_side(bool accepts) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        give_up("no listener");
    }
    if (accepts && fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            close(accept(fd, NULL, NULL));
        }
    }
    if (accepts) {
        close(fd);
    }
    return ntohs(at.sin_port); /* one that does not accept stays open until this program ends */
}

static void on_time(struct loop_timer *timer) {
    (void)timer;
    loop_stop(loop);
}

static void run_for(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, NULL);
    loop_timer_start(loop, &timer, loop_now(loop) + span);
    loop_run(loop);
}

/* --- answers ---------------------------------------------------------------------------------- */

static int64_t took[CALLS];
static bool answered;

static void on_answer(void *ctx, const struct http_fetched *f) {
    (void)ctx;
    if (!f->complete) {
        fprintf(stderr, "health: %s\n", http_fetched_why(f));
        exit(1);
    }
    answered = true;
    loop_stop(loop);
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Microseconds of the middle one. */
static double median_of(uint16_t port, const char *path) {
    struct http_call_options options;
    struct http_fetch *fetch;
    struct http_url url;
    char text[64];
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", port, path);
    if (http_url_parse(text, &url, &error) != HARDY_OK) {
        give_up(text);
    }
    http_call_options_init(&options);
    options.url = &url;
    for (int i = 0; i < CALLS; i++) {
        int64_t from = clock_now();
        answered = false;
        options.deadline = loop_now(loop) + 10 * HARDY_SECOND;
        if (http_fetch_start(client, &options, 1 << 20, on_answer, NULL, &fetch, &error) !=
            HARDY_OK) {
            give_up(text);
        }
        while (!answered) {
            loop_run(loop);
        }
        took[i] = clock_now() - from;
    }
    http_url_free(&url);
    qsort(took, CALLS, sizeof *took, by_size);
    return (double)took[CALLS / 2] / 1000;
}

static void fill(struct check_settings *checks, size_t count, enum check_kind kind, char *text) {
    static char name[] = "check";
    for (size_t i = 0; i < count; i++) {
        checks[i] = (struct check_settings){.name = name,
                                            .kind = kind,
                                            .interval = HARDY_SECOND,
                                            .timeout = HARDY_SECOND,
                                            .failure_threshold = 3,
                                            .success_threshold = 2};
        *(kind == CHECK_TCP ? &checks[i].tcp : &checks[i].http) = text;
    }
}

/* `floor` 0: measures that too. */
static double measure_answers(int hanging, double *floor, const char *what) {
    static const struct health_events events = {NULL};
    struct check_settings checks[CHECKS];
    struct schema_list list = {checks, CHECKS};
    struct health_settings settings = {.listen = NULL};
    struct health_view view = {0};
    struct health_server *server = NULL;
    char good[32], hung[40], listen[] = "127.0.0.1:4975";
    snprintf(good, sizeof good, "127.0.0.1:%u", far_side(true));
    snprintf(hung, sizeof hung, "http://127.0.0.1:%u/", far_side(false));
    fill(checks, CHECKS, CHECK_TCP, good);
    fill(checks, (size_t)hanging, CHECK_HTTP, hung);
    settings.listen = listen;
    view.health = health_start(loop, client, &list, &events, NULL, &error);
    if (!view.health || health_serve(loop, &settings, &view, &server, &error) != HARDY_OK) {
        give_up("cannot serve");
    }
    run_for(200 * HARDY_MILLISECOND);
    uint16_t port = health_server_port(server);
    if (*floor <= 0) {
        *floor = median_of(port, "/health/live");
    }
    double ready = median_of(port, "/health/ready");
    printf("%-42s %8.1f us %6.2f\n", what, ready, ready / *floor);
    health_server_stop(server, NULL, NULL);
    health_stop((struct health *)(uintptr_t)view.health);
    run_for(300 * HARDY_MILLISECOND);
    return ready;
}

/* --- checks ----------------------------------------------------------------------------------- */

static void measure_checks(void) {
    static const struct health_events events = {NULL};
    static struct check_settings checks[TCP_CHECKS];
    struct schema_list list = {checks, TCP_CHECKS};
    char address[32];
    uint16_t port = far_side(true);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    fill(checks, TCP_CHECKS, CHECK_TCP, address);
    int64_t from = cpu_time();
    struct health *health = health_start(loop, client, &list, &events, NULL, &error);
    if (!health) {
        give_up("cannot run checks");
    }
    run_for(SECONDS * HARDY_SECOND);
    int64_t used = cpu_time() - from;
    health_stop(health);
    from = cpu_time();
    for (int i = 0; i < BARE; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
            give_up("cannot connect");
        }
        close(fd);
    }
    double bare = (double)(cpu_time() - from) / 1000 / BARE;
    double one = (double)used / 1000 / (TCP_CHECKS * SECONDS);
    printf("%-42s %8.1f us %6.2f   %.2f %% of one core\n", "a tcp check, 200 a second: CPU", one,
           one / bare, 100 * (double)used / (SECONDS * HARDY_SECOND));
    printf("%-42s %8.1f us %6.2f\n", "connect() and close(): CPU", bare, 1.0);
}

int main(void) {
    struct http_client_options options;
    double floor = 0;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    hardy_error_init(&error, sizeof error);
    http_client_options_init(&options);
    loop = loop_uv_new(&error);
    client = loop ? http_client_new(loop, &options, &error) : NULL;
    if (!client) {
        give_up("no loop");
    }
    printf("%-42s %11s %6s\n", "", "", "RATIO");
    measure_answers(0, &floor, "/health/ready, 20 checks are well");
    measure_answers(HANG, &floor, "/health/ready, 5 of 20 hang");
    printf("%-42s %8.1f us %6.2f\n", "/health/live, the floor", floor, 1.0);
    measure_checks();
    http_client_free(client);
    run_for(100 * HARDY_MILLISECOND);
    loop_free(loop);
    return 0;
}
