/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simulated event costs: the models' events a second, as a ratio to a bare heap of timers,
 * in which the first is taken out and put back in later, with as many timers in it and as many
 * times. The rest is the policies, chance, the server, and counting; in the scenario it is a whole
 * guarded operation, from its admission to its verdict. Each figure is the best of a few runs, so
 * that other work on the machine disturbs it little.
 *
 *     sim [LEAST]    fails when a ratio is below it (0.3)
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/heap.h"
#include "sim/fleet.h"
#include "sim/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 5
#define SPREAD (30 * HARDY_SECOND) /* of timers in the bare heap */

static double seconds_since(int64_t begin) {
    return (double)(clock_now() - begin) / (double)HARDY_SECOND;
}

/* Timers a second. */
static double bare_heap(size_t timers, uint64_t events) {
    struct heap heap;
    struct prng chance;
    struct heap_node *nodes = calloc(timers, sizeof *nodes);
    if (nodes == NULL) {
        return 0;
    }
    heap_init(&heap);
    prng_seed(&chance, 1);
    bool failed = false;
    for (size_t i = 0; i < timers; i++) {
        failed |=
            heap_insert(&heap, &nodes[i], prng_range(prng_next(&chance), 0, SPREAD)) != HARDY_OK;
    }
    int64_t begin = clock_now();
    for (uint64_t i = 0; i < events; i++) {
        struct heap_node *first = heap_min(&heap);
        int64_t at = first->at;
        heap_remove(&heap, first);
        failed |=
            heap_insert(&heap, first, at + prng_range(prng_next(&chance), 0, SPREAD)) != HARDY_OK;
    }
    double rate = (double)events / seconds_since(begin);
    heap_free(&heap);
    free(nodes);
    return failed ? 0 : rate;
}

struct row {
    const char *name;
    enum sim_model model;
    size_t timers; /* that the model has at once, on average: about so many */
};

/* Events a second. */
static double simulation(const struct row *row, uint64_t *events) {
    struct sim_settings settings;
    struct sim_result result;
    sim_settings_init(&settings, row->model, 0);
    int64_t begin = clock_now();
    hardy_status status = sim_run(&settings, &result, NULL);
    double rate = (double)result.events / seconds_since(begin);
    *events = result.events;
    sim_result_free(&result);
    return status == HARDY_OK ? rate : 0;
}

/* An hour of callers of one guard with retries, budget and breaker, with five minutes of outage. */
#define CALLERS 10000
static const char hour[] = "duration: 1h\n"
                           "clients: {count: 10000, think: 10s}\n"
                           "server: {capacity: 2000/s, service_time: 200ms}\n"
                           "phases: [{fail: down, from: 20m, for: 5m}]\n";

static double scenario(uint64_t *events) {
    static struct fleet_result result;
    struct scenario s;
    hardy_guard_config guard;
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_guard_config_init(&guard, sizeof guard);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_budget_config_init(&budget, sizeof budget);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    guard.name = "bench";
    guard.deadline = 30 * HARDY_SECOND;
    guard.timeout = 2 * HARDY_SECOND;
    guard.retry = &retry;
    guard.budget = &budget;
    guard.breaker = &breaker;
    hardy_status status = scenario_parse("hour", hour, strlen(hour), &s, NULL);
    const struct fleet_options options = {.scenario = &s, .guard = &guard, .seed = 42};
    int64_t begin = clock_now();
    if (status == HARDY_OK) {
        status = fleet_run(&options, &result, NULL);
    }
    double took = seconds_since(begin);
    *events = result.events;
    fleet_result_free(&result);
    scenario_free(&s);
    return status == HARDY_OK ? took : 0;
}

static bool bench_scenario(double least) {
    double best = 0, heap = 0;
    uint64_t events = 0;
    for (int n = 0; n < RUNS; n++) {
        double took = scenario(&events);
        best = took > 0 && (best <= 0 || took < best) ? took : best;
        double rate = bare_heap(CALLERS, 2000000);
        heap = rate > heap ? rate : heap;
    }
    double rate = best > 0 ? (double)events / best : 0;
    double ratio = heap > 0 ? rate / heap : 0;
    printf("%-22s %10llu %14.0f %14.0f %6.2fx\n", "a guard, 1000/s", (unsigned long long)events,
           rate, heap, ratio);
    printf("an hour of %d callers of a guard: %.2f s\n", CALLERS, best);
    return ratio >= least;
}

int main(int argc, char **argv) {
    static const struct row rows[] = {
        {"S, a herd of 10000", SIM_S, 10000},
        {"O, 1000/s at random", SIM_O, 30000},
        {"M, 700/s, 4 attempts", SIM_M, 2000},
    };
    double least = argc > 1 ? strtod(argv[1], NULL) : 0.3;
    bool all = true;
    printf("%-22s %10s %14s %14s %7s\n", "model", "events", "events/s", "bare heap/s", "ratio");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double best = 0, heap = 0;
        uint64_t events = 0;
        for (int n = 0; n < RUNS; n++) {
            double rate = simulation(&rows[i], &events);
            best = rate > best ? rate : best;
            rate = bare_heap(rows[i].timers, events < 2000000 ? events : 2000000);
            heap = rate > heap ? rate : heap;
        }
        double ratio = heap > 0 ? best / heap : 0;
        printf("%-22s %10llu %14.0f %14.0f %6.2fx\n", rows[i].name, (unsigned long long)events,
               best, heap, ratio);
        all = all && ratio >= least;
    }
    all = bench_scenario(least) && all;
    printf("%s: each at least %.1fx of the bare heap\n", all ? "met" : "MISSED", least);
    return all ? 0 : 1;
}
