/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox in the simulated world: far sides of each kind fail, refuse, ask for patience, take a
 * notice and lose the answer, and are away; hardy is killed at any moment; troubles begin and end.
 * Each notice is taken at least once, or was over before it could be told; never a second time
 * without a kill or a lost answer in between; never behind the end of its trouble; and nobody is
 * woken for what is over.
 *
 *   test_notify_sim [SEEDS [BUG]]
 */
#include "base/parse.h"
#include "base/prng.h"
#include "base/str.h"
#include "config/config.h"
#include "http/client.h"
#include "http/server.h"
#include "io/sim.h"
#include "notify/notify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HARDY_SEEDED_BUGS
extern int seeded_bug;
#else
static int seeded_bug;
#endif

enum { PORT = 8080, TARGETS = 4, MAX_NOTICES = 8000, MAX_LIVES = 400, MAX_HANGING = 4000 };
static const int64_t length = 30 * HARDY_MINUTE, calm = 40 * HARDY_MINUTE,
                     on_its_way = 100 * HARDY_MILLISECOND;
static const char yaml[] =
    "notify:\n"
    "  duty: {type: pagerduty, routing_key: k, url: \"http://127.0.0.1:8080/v2/enqueue\", timeout: "
    "2s}\n"
    "  room: {type: slack, url: \"http://127.0.0.1:8080/hook\", timeout: 2s}\n"
    "  hook: {type: webhook, url: \"http://127.0.0.1:8080/page\", timeout: 2s}\n"
    "  call: {type: command, run: [call], timeout: 2s}\n";

struct noted { /* a notice to one target */
    char *id;
    size_t target, trouble;
    bool over;
    int64_t written, taken; /* the last time; 0 = not */
    bool lost;              /* the answer to that: nobody heard it */
};
struct life {
    struct http_client *client;
    struct outbox *outbox;
};
static struct {
    struct loop *loop;
    struct store *store;
    struct config *config;
    struct schema_list targets;
    struct prng prng;
    struct http_server *server;
    struct http_request *hanging[MAX_HANGING];
    size_t hanging_count;
    struct noted notices[MAX_NOTICES];
    size_t count, troubles;
    struct life lives[MAX_LIVES]; /* the memory of those that were killed is not theirs to free */
    size_t life_count;
    size_t copies, told, overtaken;
    int64_t begun; /* the last life */
    struct loop_timer trouble, outage, hang_up;
    bool ended; /* nothing fails any more */
    const char *broken;
} w;

static bool chance(double probability) {
    return !w.ended && prng_unit(&w.prng) < probability;
}

static int64_t between(int64_t low, int64_t high) {
    return low + (int64_t)(prng_unit(&w.prng) * (double)(high - low));
}

static void broken(const char *what, const struct noted *n) {
    if (!w.broken)
        printf("%s: %s\n", what, n ? n->id : "");
    w.broken = what;
    loop_stop(w.loop);
}

/* --- the far sides ---------------------------------------------------------------------------- */

/* It has it now; `lost`: nobody will hear of that. */
static void take(const char *id, bool lost) {
    struct noted *n = NULL;
    for (size_t i = 0; i < w.count && !n; i++)
        n = str_eq(w.notices[i].id, id) ? &w.notices[i] : NULL;
    if (!n) {
        broken("a notice that nobody wrote", NULL);
        return;
    }
    if (n->taken && !n->lost && w.begun < n->taken)
        broken("taken twice, though it was not killed and no answer was lost", n);
    for (size_t i = 0; i < w.count && !n->over; i++) {
        const struct noted *end = &w.notices[i];
        if (!end->over || end->target != n->target || end->trouble != n->trouble)
            continue;
        if (end->taken)
            broken("a trigger behind the end of its trouble", n);
        if (loop_now(w.loop) - end->written > HARDY_SECOND)
            broken("a trigger, though its end was known", n);
    }
    w.copies += n->taken > 0;
    w.told += n->taken == 0;
    n->taken = loop_now(w.loop);
    n->lost = lost || n->taken - w.begun < on_its_way; /* who had sent it was killed */
}

static void on_request(void *ctx, struct http_request *r) {
    static const int passing[] = {500, 502, 503, 429};
    const char *id = http_headers_get(http_request_headers(r), "Idempotency-Key");
    (void)ctx;
    bool lost = chance(0.08);
    if (chance(0.06)) {
        http_respond_text(r, 400, "text/plain", "invalid_payload");
    } else if (chance(0.25)) {
        struct http_headers headers;
        char seconds[24];
        http_headers_init(&headers, 10, 1000);
        snprintf(seconds, sizeof seconds, "%lld", (long long)between(1, 40));
        if (http_headers_add(&headers, "Retry-After", seconds) != HARDY_OK)
            abort();
        http_respond(r, passing[between(0, 4)], chance(0.5) ? &headers : NULL, "text/plain", "", 0);
        http_headers_free(&headers);
    } else if (lost || chance(0.06)) {
        if (lost)
            take(id, true);
        if (chance(0.5))
            http_respond_abort(r, CLOSE_RESET, "");
        else if (w.hanging_count < MAX_HANGING)
            w.hanging[w.hanging_count++] = r;
    } else {
        take(id, false);
        http_respond_text(r, 200, "text/plain", "ok");
    }
}

static void open_server(void) {
    static const struct http_route routes[] = {
        {.method = "POST", .path = "/v2/enqueue", .body_max = 1 << 20, .handle = on_request},
        {.method = "POST", .path = "/hook", .body_max = 1 << 20, .handle = on_request},
        {.method = "POST", .path = "/page", .body_max = 1 << 20, .handle = on_request}};
    struct http_server_options options;
    http_server_options_init(&options);
    options.port = PORT;
    options.routes = routes;
    options.route_count = 3;
    if (http_server_open(w.loop, &options, &w.server, NULL) != HARDY_OK)
        abort();
}

static void close_server(void) {
    for (size_t i = 0; i < w.hanging_count; i++)
        http_respond_abort(w.hanging[i], CLOSE_SHUTDOWN, "");
    w.hanging_count = 0;
    http_server_drain(w.server, loop_now(w.loop), NULL, NULL);
    w.server = NULL;
}

static void on_outage(struct loop_timer *timer) {
    int64_t now = loop_now(w.loop);
    if (w.server && !w.ended) {
        close_server();
        loop_timer_start(w.loop, timer, now + between(HARDY_SECOND, 3 * HARDY_MINUTE));
    } else {
        if (!w.server)
            open_server();
        if (!w.ended)
            loop_timer_start(w.loop, timer, now + between(HARDY_SECOND, 5 * HARDY_MINUTE));
    }
}

static void call(struct sim_process *p, void *ctx) {
    (void)ctx;
    if (chance(0.2)) {
        sim_exit_after(p, between(0, HARDY_SECOND), 1, 0);
    } else if (chance(0.1)) { /* hangs, until its timeout */
        if (chance(0.5))
            take(sim_env(p, "HARDY_IDEMPOTENCY_KEY"), true);
    } else {
        take(sim_env(p, "HARDY_IDEMPOTENCY_KEY"), false);
        sim_exit_after(p, between(0, HARDY_SECOND), 0, 0);
    }
}

/* --- hardy ------------------------------------------------------------------------------------ */

static void begin(void *ctx) {
    static const struct outbox_events events = {NULL, NULL, NULL};
    static const char *const env[] = {"PATH=/bin", NULL};
    struct http_client_options client;
    struct life *l = &w.lives[w.life_count++];
    hardy_error error;
    (void)ctx;
    w.begun = loop_now(w.loop);
    http_client_options_init(&client);
    l->client = http_client_new(w.loop, &client, &error);
    const struct outbox_options options = {.loop = w.loop,
                                           .store = w.store,
                                           .client = l->client,
                                           .env = env,
                                           .targets = &w.targets,
                                           .events = &events};
    if (!l->client || outbox_start(&options, &l->outbox, &error) != HARDY_OK)
        abort();
    if (!w.ended && w.life_count < MAX_LIVES - 1)
        sim_kill_at(w.loop, loop_now(w.loop) + between(0, 40 * HARDY_SECOND), begin, NULL);
}

/* --- troubles --------------------------------------------------------------------------------- */

static void note(const char *action, size_t trouble) {
    char dedup_key[32];
    snprintf(dedup_key, sizeof dedup_key, "inc-%zu", trouble);
    const struct notice notice = {.action = action,
                                  .dedup_key = dedup_key,
                                  .summary = "s",
                                  .severity = "high",
                                  .source = "web"};
    const struct notify_target *targets = w.targets.items;
    struct store_op ops[TARGETS];
    void *memory[TARGETS];
    for (size_t i = 0; i < TARGETS; i++) {
        if (outbox_row(&targets[i], &notice, loop_wall(w.loop), &ops[i], &memory[i], NULL) !=
                HARDY_OK ||
            w.count == MAX_NOTICES)
            abort();
        w.notices[w.count++] = (struct noted){.id = str_dup(ops[i].key),
                                              .target = i,
                                              .trouble = trouble,
                                              .over = str_eq(action, "resolve"),
                                              .written = loop_now(w.loop)};
    }
    if (store_apply(w.store, ops, TARGETS, HARDY_NEVER, NULL, NULL) != HARDY_OK)
        abort();
    for (size_t i = 0; i < TARGETS; i++)
        free(memory[i]);
    sim_outside(w.loop, false); /* what it arms is hardy's, and dies with it */
    outbox_kick(w.lives[w.life_count - 1].outbox);
    sim_outside(w.loop, true);
}

struct trouble {
    struct loop_timer timer;
    size_t number;
    bool acknowledged;
};

static void on_over(struct loop_timer *timer) {
    struct trouble *t = timer->ctx;
    if (!t->acknowledged && chance(0.3)) {
        t->acknowledged = true;
        note("acknowledge", t->number);
        loop_timer_start(w.loop, timer, loop_now(w.loop) + between(0, HARDY_MINUTE));
        return;
    }
    note("resolve", t->number);
    free(t);
}

static void on_trouble(struct loop_timer *timer) {
    struct trouble *t = calloc(1, sizeof *t);
    t->number = w.troubles++;
    loop_timer_init(&t->timer, on_over, t);
    note("trigger", t->number);
    loop_timer_start(w.loop, &t->timer, loop_now(w.loop) + between(0, 2 * HARDY_MINUTE));
    if (loop_now(w.loop) < HARDY_HOUR + length) /* it began at an hour */
        loop_timer_start(w.loop, timer, loop_now(w.loop) + between(0, 30 * HARDY_SECOND));
}

/* --- a run ------------------------------------------------------------------------------------ */

static int64_t sim_wall(void *ctx) {
    (void)ctx;
    return loop_wall(w.loop);
}

static bool count_row(void *ctx, const struct store_row *row) {
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static size_t kept(const char *kind) {
    size_t count = 0;
    (void)store_scan_keys(w.store, kind, "", NULL, SIZE_MAX, count_row, &count, NULL);
    return count;
}

static void on_time(struct loop_timer *timer) {
    (void)timer;
    loop_stop(w.loop);
}

static void pass(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, NULL);
    sim_outside(w.loop, true); /* goes off also when hardy was killed */
    loop_timer_start(w.loop, &timer, loop_now(w.loop) + span);
    sim_outside(w.loop, false);
    if (!w.broken)
        loop_run(w.loop);
    loop_timer_stop(w.loop, &timer);
}

static bool has_end(const struct noted *n) {
    for (size_t i = 0; i < w.count; i++)
        if (w.notices[i].over && w.notices[i].target == n->target &&
            w.notices[i].trouble == n->trouble)
            return true;
    return false;
}

static void look_back(void) {
    for (size_t i = 0; i < w.count; i++) {
        const struct noted *n = &w.notices[i];
        if (!n->taken && (n->over || !has_end(n)))
            broken("never taken", n);
        w.overtaken += !n->taken;
    }
    if (kept("outbox") + kept("outbox_refused") > 0)
        broken("kept though all was taken", NULL);
}

/* False: an invariant does not hold. */
static bool run(uint64_t seed) {
    struct sim_options sim;
    struct store_options memory = {.path = NULL, .wall = sim_wall};
    hardy_error error;
    memset(&w, 0, sizeof w);
    prng_seed(&w.prng, seed);
    sim_options_init(&sim);
    sim.seed = seed;
    sim.latency_max = 20 * HARDY_MILLISECOND;
    sim.refuse = 0.05;
    sim.split = 0.2;
    sim.end = HARDY_NEVER;
    w.loop = loop_sim_new(&sim, &error);
    if (!w.loop || store_open(&memory, &w.store, &error) != HARDY_OK ||
        config_load_bytes("t.yaml", yaml, sizeof yaml - 1, &w.config, &error) != HARDY_OK ||
        notify_read(w.config, &w.targets, &error) != HARDY_OK)
        abort();
    sim_outside(w.loop, true);
    sim_program_add(w.loop, "call", call, NULL);
    open_server();
    loop_timer_init(&w.trouble, on_trouble, NULL);
    loop_timer_start(w.loop, &w.trouble, loop_now(w.loop));
    loop_timer_init(&w.outage, on_outage, NULL);
    loop_timer_start(w.loop, &w.outage, loop_now(w.loop) + between(0, 5 * HARDY_MINUTE));
    sim_outside(w.loop, false);
    begin(NULL);
    pass(length + 10 * HARDY_MINUTE); /* all troubles are over then */
    w.ended = true;
    pass(calm);
    sim_kill_at(w.loop, loop_now(w.loop), begin, NULL); /* once more: for what was refused */
    pass(calm);
    look_back();
    printf("# seed %llu: %zu notices, %zu taken, %zu copies, %zu over before, %zu kills\n",
           (unsigned long long)seed, w.count, w.told, w.copies, w.overtaken, w.life_count - 1);
    return !w.broken;
}

/* What the killed ones had in memory is nobody's to free; it stays where a leak would not. */
static struct grave {
    struct grave *next;
    struct loop *loop;
    struct life lives[MAX_LIVES];
} * graves;

static void drop(void) {
    struct grave *g = calloc(1, sizeof *g);
    *g = (struct grave){.next = graves, .loop = w.loop};
    memcpy(g->lives, w.lives, sizeof w.lives);
    graves = g;
    for (size_t i = 0; i < w.count; i++)
        free(w.notices[i].id);
    notify_free(&w.targets);
    config_free(w.config);
    store_close(w.store);
}

int main(int argc, char **argv) {
    int64_t seeds = 30, bug = 0;
    if ((argc > 1 && parse_integer(argv[1], 1, 100000, &seeds, NULL) != HARDY_OK) ||
        (argc > 2 && parse_integer(argv[2], 1, 100, &bug, NULL) != HARDY_OK))
        return 2;
    seeded_bug = (int)bug;
    bool found = false;
    int64_t seed = 0;
    while (seed < seeds && !found) {
        found = !run((uint64_t)++seed);
        drop();
    }
    if (bug)
        printf("%sok 1 - seeded mistake %lld is found, with seed %lld\n1..1\n", found ? "" : "not ",
               (long long)bug, (long long)seed);
    else
        printf("%sok 1 - pages in %lld seeds%s%s\n1..1\n", found ? "not " : "", (long long)seed,
               found ? ": " : "", found ? w.broken : "");
    return found == (bug != 0) ? 0 : 1;
}
