/* SPDX-License-Identifier: Apache-2.0 */
#include "village.h"
#include "../cmocka_all.h"
#include "base/prng.h"
#include "base/str.h"
#include "daemon/supervision.h"
#include "durable/pause.h"
#include "http/client.h"
#include "http/server.h"
#include "io/sim.h"
#include "store/internal.h"
#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a killed hardy had in memory is gone with it; here it stays, and is no leak of hardy's. */
HARDY_API int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return 1;
}

#define S HARDY_SECOND
#define MS HARDY_MILLISECOND

enum { PAGER = 8080, SERVERS = 2, CANDIDATES = 3, EVERY = 10, DOWN_AFTER = 3, TIMEOUT = 2 };
enum { MAX_PAGES = 4000, MAX_HANGING = 4000, MAX_HEALS = 4000, RESTARTS = 5, MAX_RUNS = 6 };
static const int64_t restarts_within = HARDY_MINUTE, dwell = 5 * HARDY_MINUTE,
                     runs_within = HARDY_HOUR;
/* A trouble that stays is mended or told within this, while people can be told. */
static const int64_t patience = 40 * HARDY_MINUTE;
/* Between what was decided and its effect. */
static const int64_t lag = 5 * S;
/* A check that passed may be so old, and still say that it is up. */
static const int64_t check_lag = (DOWN_AFTER * EVERY + 2 * TIMEOUT) * S;
static const int64_t tick = 5 * S;

const char *const fault_texts[FAULTS] = {"well",      "crash",    "crash loop", "hang",
                                         "brown-out", "flapping", "full queue", "memory",
                                         "no remedy", "unseen",   "blip",       "primary"};
struct figures figures;

#define CHECK(name)                                                                                \
    "  - {name: " name ", command: [ask, " name                                                    \
    "], interval: 10s, timeout: 2s, grace: 0s, failure_threshold: 3, success_threshold: 2}\n"
#define SERVICE(name, keys)                                                                        \
    "    " name ":\n"                                                                              \
    "      checks: [" name "]\n"                                                                   \
    "      escalate: [pager]\n"                                                                    \
    "      verify: {passes: 2, window: 1m}\n"                                                      \
    "      max_attempts: 3\n"                                                                      \
    "      pause: 10s\n" keys
static const char yaml[] =
    "automation: act\n"
    "checks:\n" CHECK("shop") CHECK("api") CHECK("queue") CHECK("cache") CHECK("stuck")
        CHECK("watched") CHECK("asked") CHECK("outside") CHECK("a") CHECK("b") CHECK(
            "c") "notify: {pager: {type: webhook, url: \"http://127.0.0.1:8080/page\", timeout: "
                 "2s}}\n"
                 "maintenance: [{from: \"03:00\", to: \"03:20\", zone: utc}]\n"
                 "supervise:\n"
                 "  shop: {command: [shop-server], escalate: pager, retry_after: 5m}\n"
                 "  api: {command: [api-server], after: [shop], escalate: pager, retry_after: 5m}\n"
                 "heal:\n"
                 "  max_runs: 6\n"
                 "  per: 1h\n"
                 "  services:\n" SERVICE(
                     "shop", "      remedies: [{actions: [restart]}]\n"
                             "      actions: {restart: {restart: shop, cooldown: 2m}}\n")
                     SERVICE("api", "      remedies: [{actions: [restart]}]\n"
                                    "      actions: {restart: {restart: api, cooldown: 2m}}\n")
                         SERVICE("queue",
                                 "      remedies: [{actions: [grow]}]\n"
                                 "      sources: {workers: {command: [count]}}\n"
                                 "      actions: {grow: {run: [grow], cooldown: 3m, timeout: 30s, "
                                 "scale: {source: workers, by: 1, max: 4}}}\n")
                             SERVICE("cache",
                                     "      remedies: [{actions: [clear]}]\n"
                                     "      actions: {clear: {run: [clear], cooldown: 4m, timeout: "
                                     "30s}}\n") SERVICE("stuck",
                                                        "      remedies: [{actions: [fix]}]\n"
                                                        "      actions: {fix: {run: [fix], "
                                                        "cooldown: 1m, timeout: 30s}}\n")
                                 SERVICE("watched", "      automation: observe\n"
                                                    "      remedies: [{actions: [never]}]\n"
                                                    "      actions: {never: {run: [never]}}\n")
                                     SERVICE("asked",
                                             "      remedies: [{actions: [careful]}]\n"
                                             "      actions: {careful: {run: [careful], "
                                             "automation: ask, cooldown: 5m, "
                                             "timeout: 30s}}\n") "fail_over:\n"
                                                                 "  db:\n"
                                                                 "    candidates:\n"
                                                                 "      - {name: a, address: "
                                                                 "\"127.0.0.1:7001\", check: a}\n"
                                                                 "      - {name: b, address: "
                                                                 "\"127.0.0.1:7002\", check: b}\n"
                                                                 "      - {name: c, address: "
                                                                 "\"127.0.0.1:7003\", check: c}\n"
                                                                 "    after: 30s\n"
                                                                 "    dwell: 5m\n"
                                                                 "    run: [promote]\n"
                                                                 "    timeout: 30s\n"
                                                                 "    escalate: [pager]\n";

struct place {
    const char *name;   /* of its service and check */
    const char *remedy; /* NULL = none */
    int64_t cooldown;
    enum fault fault;
    int64_t since, until; /* of the fault; by itself */
    int64_t ended;        /* when it was bad last */
    bool mended, told;
    bool seen;      /* hardy has said that it cannot see it, or that it is down */
    int64_t silent; /* how long it has been bad, nobody was told, and somebody could have been */
    int64_t healed; /* the last effect of its remedy; 0 = none */
    unsigned good;  /* answers since the last bad one */
};
static const struct place places_at_first[PLACES] = {
    [SHOP] = {.name = "shop", .remedy = "restart", .cooldown = 2 * HARDY_MINUTE},
    [API] = {.name = "api", .remedy = "restart", .cooldown = 2 * HARDY_MINUTE},
    [QUEUE] = {.name = "queue", .remedy = "grow", .cooldown = 3 * HARDY_MINUTE},
    [CACHE] = {.name = "cache", .remedy = "clear", .cooldown = 4 * HARDY_MINUTE},
    [STUCK] = {.name = "stuck", .remedy = "fix", .cooldown = HARDY_MINUTE},
    [WATCHED] = {.name = "watched", .remedy = "never"},
    [ASKED] = {.name = "asked", .remedy = "careful", .cooldown = 5 * HARDY_MINUTE},
    [OUTSIDE] = {.name = "outside"},
    [DB] = {.name = "db"},
};

struct server { /* a child's process */
    struct sim_process *process;
    int pid; /* 0 = none yet */
    int64_t started;
    bool told_to_end; /* by hardy: its next start is no restart after a death */
    bool renewed;     /* a remedy is about to ask for it */
    unsigned crashes; /* so many lives are short */
    int64_t restarts[RESTARTS + 1];
    size_t restart_count;
};
struct candidate {
    bool up;
    int64_t changed;
};
struct page {
    char *id, *key;
    bool over;
    int64_t taken;
    bool lost;        /* nobody heard that it was taken */
    bool from_memory; /* written while the state took nothing */
};
struct life {
    struct http_client *client;
    struct supervision *supervision;
};

static struct village {
    struct loop *loop;
    struct store *store, *inner; /* what hardy uses: it can be full; and memory, for looking */
    struct config *config;
    struct prng prng;
    char state[64];
    bool jitter, full;
    int64_t full_since, full_ended;

    struct place places[PLACES];
    struct server servers[SERVERS];
    struct candidate candidates[CANDIDATES];
    size_t active; /* the candidate that hardy has switched to */
    int64_t switched;
    int64_t workers;
    int64_t heals[MAX_HEALS];
    size_t heal_count;
    int64_t paused[PLACES + 1]; /* since when; 0 = not; the last: everything */

    struct http_server *pager;
    enum pager_mood mood;
    int64_t mood_since;
    struct http_request *hanging[MAX_HANGING];
    size_t hanging_count;
    struct page pages[MAX_PAGES];
    size_t page_count;
    double approves, refuses;
    struct loop_timer answer;
    bool answering;

    struct life life;
    bool alive, ending, gone;
    int64_t begun, away; /* of this life; how long after the next kill the next one begins */
    struct loop_timer next_life, tick;
    char wrong[600];
} v;

static void live(void);

/* --- small ------------------------------------------------------------------------------------ */

static long long ms(int64_t span) {
    return (long long)(span / MS);
}

/* With VILLAGE_TELLS in the environment: the whole story, to find out what led to what. */
static void tell(const char *format, ...) HARDY_PRINTF(1, 2);
static void tell(const char *format, ...) {
    va_list args;
    if (!getenv("VILLAGE_TELLS"))
        return;
    va_start(args, format);
    printf("# %lld s: ", ms(loop_wall(v.loop) % HARDY_DAY) / 1000);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

static void wrong(const char *format, ...) HARDY_PRINTF(1, 2);
static void wrong(const char *format, ...) {
    va_list args;
    if (v.wrong[0])
        return;
    va_start(args, format);
    vsnprintf(v.wrong, sizeof v.wrong, format, args);
    va_end(args);
    tell("%s", v.wrong);
}

const char *village_wrong(void) {
    return v.wrong[0] ? v.wrong : NULL;
}

static bool nothing_is_wrong(void *ctx) {
    (void)ctx;
    return !v.wrong[0];
}

uint64_t village_random(uint64_t below) {
    return prng_below(&v.prng, below);
}

static int64_t between(int64_t low, int64_t high) {
    return low + (int64_t)(prng_unit(&v.prng) * (double)(high - low));
}

static bool chance(double probability) {
    return prng_unit(&v.prng) < probability;
}

static int64_t now(void) {
    return loop_now(v.loop);
}

static struct place *place_of(const char *name) {
    for (size_t n = 0; n < PLACES; n++)
        if (str_eq(v.places[n].name, name))
            return &v.places[n];
    return NULL;
}

static size_t id_of(const struct place *p) {
    return (size_t)(p - v.places);
}

/* --- hands off: what people said, and the clock ----------------------------------------------- */

static const int64_t window_from = 3 * HARDY_HOUR, window_lasts = 20 * HARDY_MINUTE;

/* For how long hands have been off it; 0 = they are not. */
static int64_t off_for(size_t place) {
    int64_t of_day = loop_wall(v.loop) % HARDY_DAY, longest = 0;
    if (of_day >= window_from && of_day < window_from + window_lasts)
        longest = of_day - window_from + 1;
    for (size_t n = 0; n <= PLACES; n++)
        if ((n == place || n == PLACES) && v.paused[n] && now() - v.paused[n] + 1 > longest)
            longest = now() - v.paused[n] + 1;
    return longest;
}

static void hands_have_to_be_on(size_t place, const char *what) {
    if (off_for(place) > lag)
        wrong("%s of %s, though hands have been off it for %lld ms", what, v.places[place].name,
              ms(off_for(place)));
}

void village_pause(int place, bool pause) {
    const char *target = place == PLACES ? PAUSE_EVERYTHING : v.places[place].name;
    struct pause p = {.target = (char *)(uintptr_t)target,
                      .who = (char *)(uintptr_t) "ada",
                      .at = loop_wall(v.loop)};
    if (pause == (v.paused[place] > 0))
        return;
    hardy_status status = pause ? pause_set(v.inner, &p, HARDY_NEVER, NULL)
                                : pause_clear(v.inner, target, "ada", p.at, HARDY_NEVER, NULL);
    assert_int_equal(status, HARDY_OK);
    v.paused[place] = pause ? now() : 0;
    figures.pauses += pause;
}

/* --- faults ------------------------------------------------------------------------------------
 */

static bool server_is_up(const struct server *s) {
    return s->pid && sim_alive(v.loop, s->pid) && now() - s->started >= S;
}

/* What is the case, whoever knows it. */
static bool is_bad(const struct place *p) {
    size_t id = id_of(p);
    if (id == DB)
        return !v.candidates[v.active].up;
    if (id < SERVERS && !server_is_up(&v.servers[id]))
        return true;
    return p->fault != WELL && p->fault != UNSEEN && p->fault != CRASH && p->fault != CRASH_LOOP;
}

bool village_is_well(enum place_id place) {
    return v.places[place].fault == WELL && !is_bad(&v.places[place]);
}

static void over(struct place *p, bool mended) {
    p->mended |= mended;
    if (p->mended)
        figures.mended[p->fault]++;
    else if (p->told)
        figures.told[p->fault]++;
    else
        figures.by_itself[p->fault]++;
    if (p->fault == UNSEEN && !p->seen && now() - p->since > 3 * EVERY * S && v.alive &&
        now() - v.begun > 3 * EVERY * S)
        wrong("the check of %s could not run, and nobody saw it", p->name);
    p->fault = WELL;
    p->ended = now();
    p->silent = 0;
}

static void crash(struct server *s) {
    if (s->pid && sim_alive(v.loop, s->pid))
        sim_exit_after(s->process, 0, 1, 0);
}

static void set_candidate(size_t n, bool up) {
    if (v.candidates[n].up != up)
        v.candidates[n] = (struct candidate){up, now()};
}

bool village_fault(enum place_id place, enum fault fault, int64_t lasts) {
    struct place *p = &v.places[place];
    if (p->fault != WELL || is_bad(p) || (p->ended && now() - p->ended < 3 * HARDY_MINUTE))
        return false;
    tell("%s: %s", p->name, fault_texts[fault]);
    p->fault = fault;
    p->since = now();
    p->until = lasts == HARDY_NEVER ? lasts : now() + lasts;
    p->mended = p->told = p->seen = false;
    p->silent = 0;
    figures.faults[fault]++;
    sim_outside(v.loop, true);
    if (fault == CRASH || fault == CRASH_LOOP) {
        v.servers[place].crashes = fault == CRASH ? 1 : 4 + (unsigned)village_random(8);
        crash(&v.servers[place]);
    } else if (fault == FULL_QUEUE) {
        v.workers = 1 + (int64_t)village_random(4);
    } else if (fault == PRIMARY) {
        set_candidate(v.active, false);
    }
    sim_outside(v.loop, false);
    return true;
}

static bool hands_are_on(size_t place) {
    return off_for(place) == 0;
}

/* Somebody could be told now, and something be done. */
static bool counts(size_t place) {
    return v.alive && !v.full && v.mood == TAKES && hands_are_on(place);
}

static void look_at(struct place *p) {
    size_t id = id_of(p);
    if (p->fault == CRASH || p->fault == CRASH_LOOP) {
        struct server *s = &v.servers[id];
        if (server_is_up(s) && s->crashes == 0)
            over(p, true);
    } else if (p->fault == PRIMARY && !is_bad(p)) {
        p->mended = true;
    }
    if (p->fault != WELL && now() >= p->until) {
        for (size_t n = 0; n < CANDIDATES && id == DB; n++)
            set_candidate(n, true);
        over(p, false);
    }
    if (is_bad(p))
        p->ended = now();
    if (!is_bad(p) || p->told || id == OUTSIDE || p->fault == FLAPPING)
        p->silent = 0;
    else if (counts(id))
        p->silent += tick;
    if (p->silent > patience)
        wrong("%s (%s) has been bad for %lld s, and nobody was told", p->name,
              fault_texts[p->fault], ms(p->silent) / 1000);
}

static void on_tick(struct loop_timer *timer) {
    for (size_t n = 0; n < PLACES; n++)
        look_at(&v.places[n]);
    loop_timer_start(v.loop, timer, now() + tick);
}

/* --- checks and sources ------------------------------------------------------------------------
 */

/* A single failure, too few of them to count. */
static bool hiccups(struct place *p) {
    bool fails = v.jitter && p->good > 12 && chance(0.01);
    p->good = fails ? 0 : p->good + 1;
    return fails;
}

static void answer_as(struct sim_process *p, bool good) {
    int64_t takes = chance(0.05) ? between(100 * MS, 1500 * MS) : between(2 * MS, 100 * MS);
    if (good || chance(0.5))
        sim_exit_after(p, takes, good ? 0 : 1, 0);
    /* else it hangs, until it is ended */
}

static void ask(struct sim_process *process, void *ctx) {
    const char *name = sim_argv(process)[1];
    struct place *p = place_of(name);
    (void)ctx;
    if (!p) {
        answer_as(process, v.candidates[name[0] - 'a'].up);
        return;
    }
    if (p->fault == UNSEEN)
        sim_exit_after(process, MS, 127, 0);
    else if (p->fault == BROWN_OUT && server_is_up(&v.servers[id_of(p)]))
        sim_exit_after(process, chance(0.6) ? 10 * S : 500 * MS, 0, 0);
    else if (p->fault == FLAPPING)
        answer_as(process, (now() / (50 * S)) % 2);
    else
        answer_as(process, !is_bad(p) && !hiccups(p));
}

static void count(struct sim_process *p, void *ctx) {
    char text[24];
    (void)ctx;
    snprintf(text, sizeof text, "%lld", (long long)v.workers);
    sim_output(p, 1, text, strlen(text));
    sim_exit_after(p, 5 * MS, 0, 0);
}

static void healing(struct place *p);

/* --- children ----------------------------------------------------------------------------------
 */

static void on_signal(struct sim_process *p, void *ctx, int signum) {
    struct server *s = ctx;
    if (signum == SIGCONT || signum == 0)
        return;
    if (!s->told_to_end && !v.ending)
        healing(&v.places[s - v.servers]);
    s->told_to_end = true;
    if (v.places[s - v.servers].fault != HANG) /* which does not even end */
        sim_exit_after(p, between(0, 2 * S), 0, 0);
}

/* One more start after a death. */
static void count_restart(struct server *s) {
    size_t kept = 0;
    for (size_t n = 0; n < s->restart_count; n++)
        if (s->restarts[n] > now() - restarts_within)
            s->restarts[kept++] = s->restarts[n];
    s->restart_count = kept;
    if (kept == RESTARTS)
        wrong("%s was restarted %d times within a minute, and once more",
              v.places[s - v.servers].name, RESTARTS);
    else
        s->restarts[s->restart_count++] = now();
    figures.restarts++;
}

static void serve(struct sim_process *process, void *ctx) {
    struct server *s = ctx;
    struct place *p = &v.places[s - v.servers];
    if (s->pid && sim_alive(v.loop, s->pid))
        wrong("%s was started while it runs", p->name);
    if (s->pid && !s->told_to_end && s->renewed) {
        healing(p);
    } else if (s->pid && !s->told_to_end) {
        count_restart(s);
        hands_have_to_be_on(id_of(p), "a restart");
    }
    s->process = process;
    s->pid = sim_pid(process);
    s->started = now();
    s->told_to_end = s->renewed = false;
    sim_on_signal(process, on_signal, s);
    if (p->fault == HANG || p->fault == BROWN_OUT)
        over(p, true);
    if (s->crashes > 0 && --s->crashes > 0)
        sim_exit_after(process, between(50 * MS, 3 * S), 1, 0);
}

/* --- what heals ---------------------------------------------------------------------------------
 */

/* The remedy of a service has begun to have its effect. */
static void healing(struct place *p) {
    size_t within = 0;
    figures.heals++;
    if (!is_bad(p) && now() - p->ended > lag + tick)
        wrong("a remedy of %s, which has been well for %lld ms", p->name, ms(now() - p->ended));
    if (p->healed && now() - p->healed < p->cooldown - S)
        wrong("%s of %s ran again after %lld ms", p->remedy, p->name, ms(now() - p->healed));
    hands_have_to_be_on(id_of(p), p->remedy);
    for (size_t n = v.heal_count; n > 0 && v.heals[n - 1] > now() - runs_within + S; n--)
        within++;
    if (within >= MAX_RUNS)
        wrong("%zu remedies within an hour, and %s of %s", within, p->remedy, p->name);
    p->healed = now();
    if (v.heal_count < MAX_HEALS)
        v.heals[v.heal_count++] = now();
}

/* The shell that joins both outputs, and becomes the command behind it. */
static void shell(struct sim_process *process, void *ctx) {
    const char *name = sim_argv(process)[4];
    struct place *p = place_of(sim_env(process, "HARDY_SERVICE"));
    int code = chance(0.05) ? 1 : 0;
    (void)ctx;
    sim_exit_after(process, between(100 * MS, 10 * S), code, 0);
    if (str_eq(name, "promote")) {
        if (code) /* of which people are told, too */
            v.places[DB].ended = now() + 10 * S;
        return;
    }
    healing(p);
    if (str_eq(name, "never"))
        wrong("what is only observed was run");
    else if (str_eq(name, "grow"))
        v.workers = strtol(sim_env(process, "HARDY_SCALE_TO"), NULL, 10);
    if (p->fault == FULL_QUEUE || p->fault == MEMORY || (p->fault == HANG && id_of(p) != STUCK))
        over(p, true);
}

/* --- the pager, and who reads it -----------------------------------------------------------------
 */

/* An answer is so long on its way. */
static const int64_t on_its_way = 100 * MS;

/* Then it is sent from memory, and may be sent from the state when that takes it. */
static bool written_while_full(const char *id) {
    int64_t at = strtoll(strchr(id, '/') + 1, NULL, 10) - loop_wall(v.loop) + now();
    return v.full_since && at >= v.full_since && (v.full || at <= v.full_ended + S);
}

/* It was well already some time before hardy could have written that it is over. */
static bool well_when_written(const struct place *p) {
    int64_t writable = v.full ? v.full_since : now();
    if (!v.full && v.full_since > p->ended)
        writable = now() - (v.full_ended - v.full_since);
    if (id_of(p) == DB && (v.active != 0 || now() - v.switched < HARDY_MINUTE))
        return false; /* not on its primary: that is trouble, too */
    return p->fault == WELL && !is_bad(p) && p->ended < writable - 5 * HARDY_MINUTE;
}

static void take(struct http_request *r, bool lost) {
    size_t len;
    const char *body = http_request_body(r, &len);
    const char *id = http_headers_get(http_request_headers(r), "Idempotency-Key");
    json_t *o = json_loadb(body, len, 0, NULL);
    const char *key = json_string_value(json_object_get(o, "dedup_key"));
    const char *source = json_string_value(json_object_get(o, "source"));
    bool resolved = str_eq(json_string_value(json_object_get(o, "action")), "resolve");
    struct place *p = place_of(source);
    struct page *page = NULL;
    for (size_t n = 0; n < v.page_count && !page; n++)
        page = str_eq(v.pages[n].id, id) ? &v.pages[n] : NULL;
    if (!id || !key || !p || (!page && v.page_count == MAX_PAGES)) {
        wrong("a page that says nothing: %.*s", (int)len, body);
    } else if (page) {
        if (!page->lost && v.begun < page->taken)
            wrong(
                "a page of %s was taken twice, %lld ms after the first time, though no answer was "
                "lost: %.*s",
                p->name, ms(now() - page->taken), (int)len, body);
        figures.copies++;
    } else {
        page = &v.pages[v.page_count++];
        *page = (struct page){.id = str_dup(id), .key = str_dup(key), .over = resolved};
        figures.pages += !resolved;
        figures.resolves += resolved;
    }
    tell("the pager gets %s", id ? id : "?");
    if (page) {
        page->taken = now();
        page->from_memory = written_while_full(id);
        page->lost = lost || now() - v.begun < on_its_way;
        if (!resolved && well_when_written(p))
            wrong("a page about %s, which has been well for %lld s: %.*s", p->name,
                  ms(now() - p->ended) / 1000, (int)len, body);
        if (!resolved)
            p->told = true;
    }
    json_decref(o);
}

static void on_page(void *ctx, struct http_request *r) {
    (void)ctx;
    if (v.mood == TAKES || v.mood == LOSES)
        take(r, v.mood == LOSES);
    if (v.mood == TAKES)
        http_respond_text(r, 200, "text/plain", "ok");
    else if (v.mood == FAILS)
        http_respond_text(r, 500, "text/plain", "not now");
    else if (v.hanging_count < MAX_HANGING)
        v.hanging[v.hanging_count++] = r;
}

static void open_pager(void) {
    static const struct http_route routes[] = {
        {.method = "POST", .path = "/page", .body_max = 1 << 20, .handle = on_page}};
    struct http_server_options options;
    http_server_options_init(&options);
    options.port = PAGER;
    options.routes = routes;
    options.route_count = 1;
    if (http_server_open(v.loop, &options, &v.pager, NULL) != HARDY_OK)
        abort();
}

static void close_pager(void) {
    for (size_t n = 0; n < v.hanging_count; n++)
        http_respond_abort(v.hanging[n], CLOSE_SHUTDOWN, "");
    v.hanging_count = 0;
    for (size_t n = 0; n < v.page_count; n++)
        v.pages[n].lost |= now() - v.pages[n].taken < on_its_way;
    http_server_drain(v.pager, now(), NULL, NULL);
    v.pager = NULL;
}

void village_pager(enum pager_mood mood) {
    sim_outside(v.loop, true);
    if (v.pager)
        close_pager();
    if (mood != AWAY)
        open_pager();
    sim_outside(v.loop, false);
    figures.outages += v.mood == TAKES && mood != TAKES;
    v.mood = mood;
}

void village_answers(double approves, double refuses) {
    v.approves = approves;
    v.refuses = refuses;
}

/* A person says whether the remedy that was asked about may run. */
static void on_answer(struct loop_timer *timer) {
    struct past past;
    struct incident i = {0};
    double draw = prng_unit(&v.prng);
    (void)timer;
    v.answering = false;
    if (draw >= v.approves + v.refuses || past_load(v.inner, "asked", &past, NULL) != HARDY_OK)
        return;
    if (past.incident && incident_load(v.inner, past.incident, &i, NULL) == HARDY_OK &&
        incident_asks(&i)) {
        const struct signal signal = {.what = draw < v.approves ? SIGNAL_APPROVE : SIGNAL_REFUSE,
                                      .who = (char *)(uintptr_t) "ada",
                                      .at = loop_wall(v.loop),
                                      .fence = i.round + 1};
        char *key = incident_remedy_key(&i);
        assert_int_equal(signal_send(v.inner, key, &signal, HARDY_NEVER, NULL), HARDY_OK);
        free(key);
    }
    incident_free(&i);
    past_free(&past);
}

/* --- the store: full when it is told to be -------------------------------------------------------
 */

static hardy_status submit(struct store *s, struct batch *batch, hardy_error *error) {
    if (v.full) {
        batch->status = HARDY_E_NOSPACE;
        batch->failed = -1;
        batch_finish(s, batch, NULL);
        return HARDY_OK;
    }
    return v.inner->methods->submit(v.inner, batch, error);
}

static hardy_status get(struct store *s, const char *kind, const char *key, struct store_row *out,
                        hardy_error *error) {
    (void)s;
    return v.inner->methods->get(v.inner, kind, key, out, error);
}

static hardy_status scan(struct store *s, const char *kind, const char *prefix, const char *after,
                         size_t limit, bool values, struct rows *out, hardy_error *error) {
    (void)s;
    return v.inner->methods->scan(v.inner, kind, prefix, after, limit, values, out, error);
}

static int64_t sim_wall(void *ctx) {
    (void)ctx;
    return loop_wall(v.loop);
}

void village_full(bool full) {
    if (full != v.full)
        *(full ? &v.full_since : &v.full_ended) = now();
    figures.full += full && !v.full;
    v.full = full;
}

/* --- hardy ---------------------------------------------------------------------------------------
 */

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *s,
                       bool changed) {
    struct place *p = place_of(c->name);
    (void)ctx;
    (void)changed;
    if (p && p->fault != WELL)
        p->seen |= s->last == CHECK_UNKNOWN || s->level == LEVEL_DOWN;
}

static void on_asked(void) {
    if (v.answering)
        return;
    v.answering = true;
    sim_outside(v.loop, true);
    loop_timer_init(&v.answer, on_answer, NULL);
    loop_timer_start(v.loop, &v.answer, now() + between(S, 20 * HARDY_MINUTE));
    sim_outside(v.loop, false);
}

static void on_switching(size_t to) {
    figures.switches++;
    if (!v.candidates[to].up && now() - v.candidates[to].changed > check_lag)
        wrong("switched to %c, which has been down for %lld ms", (char)('a' + to),
              ms(now() - v.candidates[to].changed));
    if (v.switched && now() - v.switched < dwell)
        wrong("two switches within %lld ms", ms(now() - v.switched));
    hands_have_to_be_on(DB, "a switch");
    v.switched = now();
    v.active = to;
}

static void on_told(void *ctx, const char *subject, const char *incident, int64_t wall,
                    const char *what, const char *detail) {
    const struct place *p = place_of(subject);
    const char *to = strstr(detail, " to ");
    (void)ctx;
    (void)wall;
    tell("%s %s %s: %s", subject, incident ? incident : "", what, detail);
    if (str_eq(what, "asked"))
        on_asked();
    else if (str_eq(subject, "db") && str_eq(what, "switching") && to)
        on_switching((size_t)(to[4] - 'a'));
    else if (p && id_of(p) < SERVERS && str_eq(what, "acting"))
        v.servers[id_of(p)].renewed = true;
    else if (p && id_of(p) < SERVERS && (str_eq(what, "decided anew") || str_eq(what, "resolved")))
        v.servers[id_of(p)].renewed = false;
}

static void on_watched(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    (void)ctx;
    (void)i;
    (void)unsent;
    if (!v.ending)
        wrong("hardy has ended: %s", error ? error->message : "why?");
}

static void on_gone(void *ctx) {
    (void)ctx;
    http_client_free(v.life.client);
    v.gone = true;
}

static void on_problem(void *ctx, const hardy_error *problem) {
    (void)ctx;
    fail_msg("%s: %s", problem->where, problem->message);
}

static void live(void) {
    static const struct supervision_events events = {
        .checked = on_checked, .told = on_told, .watched = on_watched, .gone = on_gone};
    static const char *const env[] = {"PATH=/bin", NULL};
    struct supervision_settings settings;
    struct http_client_options client;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_client_options_init(&client);
    v.life = (struct life){.client = http_client_new(v.loop, &client, &error)};
    v.alive = true;
    v.begun = now();
    if (supervision_read(v.config, v.state, &settings, &error) != HARDY_OK)
        on_problem(NULL, &error);
    (void)supervision_check(v.config, &settings, on_problem, NULL);
    const struct supervision_options options = {.loop = v.loop,
                                                .store = v.store,
                                                .state = v.state,
                                                .self = "hardy test",
                                                .env = env,
                                                .client = v.life.client};
    if (supervision_start(&options, &settings, &events, NULL, &v.life.supervision, &error) !=
        HARDY_OK)
        on_problem(NULL, &error);
}

/* Descriptors of locks that a killed program held: the kernel would have closed them. */
static void close_locks(void) {
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *entry;
    while (fds && (entry = readdir(fds))) {
        char path[300], target[400];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        if (strncmp(target, v.state, strlen(v.state)) == 0)
            close((int)strtol(entry->d_name, NULL, 10));
    }
    if (fds)
        closedir(fds);
}

static void on_next_life(struct loop_timer *timer) {
    (void)timer;
    sim_outside(v.loop, false);
    live();
    sim_outside(v.loop, true);
}

static void on_killed(void *ctx) {
    (void)ctx;
    close_locks();
    v.alive = false;
    v.life = (struct life){0};
    figures.kills++;
    if (v.away == 0) {
        live();
        return;
    }
    sim_outside(v.loop, true);
    loop_timer_init(&v.next_life, on_next_life, NULL);
    loop_timer_start(v.loop, &v.next_life, now() + v.away);
    sim_outside(v.loop, false);
}

void village_kill(int64_t span, int64_t away) {
    if (!v.alive)
        return;
    v.away = away;
    sim_kill_at(v.loop, now() + span, on_killed, NULL);
}

/* --- the beginning and the end -------------------------------------------------------------------
 */

void village_begin(uint64_t seed, bool jitter) {
    static const struct store_methods methods = {.submit = submit, .get = get, .scan = scan};
    struct sim_options sim;
    struct store_options memory = {.wall = sim_wall};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    v = (struct village){.jitter = jitter, .workers = 1, .approves = 0.5, .refuses = 0.2};
    memcpy(v.places, places_at_first, sizeof v.places);
    prng_seed(&v.prng, seed);
    sim_options_init(&sim);
    sim.seed = seed;
    sim.latency_max = 5 * MS;
    sim.end = HARDY_NEVER;
    v.loop = loop_sim_new(&sim, &error);
    assert_non_null(v.loop);
    assert_int_equal(store_open(&memory, &v.inner, &error), HARDY_OK);
    v.store = calloc(1, sizeof *v.store);
    *v.store = (struct store){.methods = &methods, .wall = sim_wall};
    assert_int_equal(config_load_bytes("village.yaml", yaml, sizeof yaml - 1, &v.config, &error),
                     HARDY_OK);
    str_copy(v.state, sizeof v.state, "/tmp/hardy-village.XXXXXX");
    assert_non_null(mkdtemp(v.state));
    snprintf(v.state + strlen(v.state), 3, "/s");
    sim_program_add(v.loop, "ask", ask, NULL);
    sim_program_add(v.loop, "count", count, NULL);
    sim_program_add(v.loop, "/bin/sh", shell, NULL);
    sim_program_add(v.loop, "shop-server", serve, &v.servers[SHOP]);
    sim_program_add(v.loop, "api-server", serve, &v.servers[API]);
    sim_invariant(v.loop, nothing_is_wrong, NULL);
    sim_set_wall(v.loop, (int64_t)village_random(24) * HARDY_HOUR);
    for (size_t n = 0; n < CANDIDATES; n++)
        v.candidates[n].up = true;
    village_pager(TAKES);
    sim_outside(v.loop, true);
    loop_timer_init(&v.tick, on_tick, NULL);
    loop_timer_start(v.loop, &v.tick, now() + 5 * HARDY_MINUTE);
    sim_outside(v.loop, false);
    live();
    village_pass(5 * HARDY_MINUTE);
}

static void on_time(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

void village_pass(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, v.loop);
    sim_outside(v.loop, true);
    loop_timer_start(v.loop, &timer, now() + span);
    sim_outside(v.loop, false);
    if (!v.wrong[0])
        loop_run(v.loop);
    loop_timer_stop(v.loop, &timer);
}

static bool count_row(void *ctx, const struct store_row *row) {
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static size_t rows(const char *kind) {
    size_t found = 0;
    (void)store_scan_keys(v.inner, kind, "", NULL, SIZE_MAX, count_row, &found, NULL);
    return found;
}

/* Whoever was told of a trouble was told of its end. What was sent from memory, because the state
 * took nothing, is forgotten by a hardy that is killed then. */
static void look_at_pages(void) {
    for (size_t n = 0; n < v.page_count; n++) {
        bool over = v.pages[n].over || v.pages[n].from_memory;
        for (size_t k = 0; k < v.page_count && !over; k++)
            over = v.pages[k].over && str_eq(v.pages[k].key, v.pages[n].key) &&
                   v.pages[k].taken >= v.pages[n].taken;
        if (!over)
            wrong("nobody was told that %s is over", v.pages[n].key);
    }
    if (rows("outbox") + rows("outbox_refused") > 0)
        wrong("%zu pages were never sent", rows("outbox") + rows("outbox_refused"));
}

bool village_end(void) {
    village_pager(TAKES);
    village_full(false);
    for (int n = 0; n <= PLACES; n++)
        village_pause(n, false);
    for (size_t n = 0; n < PLACES; n++)
        if (v.places[n].fault != WELL)
            v.places[n].until = now();
    for (size_t n = 0; n < SERVERS; n++)
        v.servers[n].crashes = 0;
    village_pass(3 * HARDY_HOUR);
    for (size_t n = 0; n < PLACES; n++)
        if (!village_is_well((enum place_id)n))
            wrong("%s does not get well", v.places[n].name);
    look_at_pages();
    if (v.wrong[0])
        return false;
    v.ending = true;
    supervision_stop(v.life.supervision);
    for (int n = 0; n < 200 && !v.gone; n++)
        village_pass(S);
    if (!v.gone)
        wrong("hardy does not end");
    return !v.wrong[0];
}

void village_drop(void) {
    static const char *const files[] = {
        "-steps/keys.lock", "-steps", "-children/id", "-children/shop.lock", "-children/api.lock",
        "-children",        NULL};
    char path[128];
    close_locks();
    for (const char *const *file = files; *file; file++) {
        snprintf(path, sizeof path, "%s%s", v.state, *file);
        (void)remove(path);
    }
    v.state[strlen(v.state) - 2] = '\0';
    (void)rmdir(v.state);
    for (size_t n = 0; n < v.page_count; n++) {
        free(v.pages[n].id);
        free(v.pages[n].key);
    }
    if (!v.gone)
        return; /* in the middle of things: what is under way is left where it is */
    sim_outside(v.loop, true);
    loop_timer_stop(v.loop, &v.tick);
    close_pager();
    sim_outside(v.loop, false);
    village_pass(HARDY_MINUTE);
    store_close(v.inner);
    free(v.store);
    config_free(v.config);
    loop_free(v.loop);
}
