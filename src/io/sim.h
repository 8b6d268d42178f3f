/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SIM_H
#define IO_SIM_H
/*
 * The simulated world behind a loop: virtual time that jumps to the next event, a network of byte
 * pipes with latency and faults, programs that are functions. Everything is drawn from one seed,
 * so that a run repeats exactly; the trace hash says whether it did.
 */
#include "io/loop.h"

struct sim_options {
    uint64_t seed;
    int64_t latency_min, latency_max; /* one way, per chunk */
    double refuse, reset, stall;      /* probability per connection / per chunk / per chunk */
    double split;                     /* probability that a chunk is delivered in pieces */
    int64_t end;                      /* the run stops at this virtual time */
};
void sim_options_init(struct sim_options *o); /* no faults, 1 ms latency, an hour */
struct loop *loop_sim_new(const struct sim_options *options, hardy_error *error);

/* A program of the simulated world, found by argv[0]. Runs on the loop; ends by sim_exit(). */
struct sim_process;
typedef void (*sim_program)(struct sim_process *p, void *ctx);
void sim_program_add(struct loop *loop, const char *name, sim_program program, void *ctx);
const char *const *sim_argv(const struct sim_process *p);
struct loop *sim_loop(struct sim_process *p);
void sim_output(struct sim_process *p, int fd, const char *data, size_t len);
void sim_exit_after(struct sim_process *p, int64_t span, int code, int signal);
void sim_on_signal(struct sim_process *p, void (*fn)(struct sim_process *p, void *ctx, int signum),
                   void *ctx);

/* Called after every event; returns false when an invariant is broken, which stops the run. */
void sim_invariant(struct loop *loop, bool (*fn)(void *ctx), void *ctx);
/* Counts by kind, hash of everything that happened, virtual time run. */
struct sim_report {
    uint64_t events, refused, reset, stalled, split, killed;
    uint64_t hash;
    int64_t simulated;
    bool broken;
};
void sim_report(const struct loop *loop, struct sim_report *out);
#endif
