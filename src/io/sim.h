/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SIM_H
#define IO_SIM_H
/*
 * The simulated world behind a loop: virtual time that jumps to the next event, a network of byte
 * pipes with latency and faults, programs that are functions, steps that outlive the program.
 * Everything is drawn from one seed, so that a run repeats exactly; the trace hash says whether it
 * did.
 *
 * Whatever happens belongs either to the program under test or to the world outside (the far sides,
 * simulated programs): what a callback makes is its maker's. Only the program's own things are gone
 * when it is killed; see sim_kill_at().
 *
 * The network: a listener is found by port and host ("localhost" is 127.0.0.1; one on 0.0.0.0 or ::
 * takes every host). A connection holds SIM_WINDOW bytes on their way and unread; the rest is
 * unsent. Files are not simulated.
 */
#include "io/loop.h"

#define SIM_WINDOW 65536

struct sim_options {
    uint64_t seed;
    int64_t latency_min, latency_max; /* one way, per chunk */
    /* Probability per connection / per chunk / per chunk. A stalled chunk, and all behind it, is 1
     * s to 10 minutes late. */
    double refuse, reset, stall;
    double split; /* probability that a chunk is delivered in pieces */
    double lose;  /* probability that a step's shim is killed while its command runs */
    int64_t end;  /* loop_run() returns for good after so much virtual time */
};
void sim_options_init(struct sim_options *o); /* no faults, 1 ms latency, an hour, seed 1 */
/* Time begins at an hour, so that times before it exist; the wall clock in the year 2026. */
struct loop *loop_sim_new(const struct sim_options *options, hardy_error *error);

/* A program of the simulated world, found by argv[0]; `name` copied. It is called once, on the
 * loop, and goes on in what it arms (timers, streams) until it ends by sim_exit_after() or by a
 * signal. */
struct sim_process;
typedef void (*sim_program)(struct sim_process *p, void *ctx);
void sim_program_add(struct loop *loop, const char *name, sim_program program, void *ctx);
const char *const *sim_argv(const struct sim_process *p);
const char *sim_env(const struct sim_process *p, const char *name); /* NULL = not set */
struct loop *sim_loop(struct sim_process *p);
void sim_output(struct sim_process *p, int fd, const char *data, size_t len);
/* Ends then, unless a signal ends it before; called again, the later call holds. */
void sim_exit_after(struct sim_process *p, int64_t span, int code, int signal);
/* Without it every signal ends the program; KILL always does. */
void sim_on_signal(struct sim_process *p, void (*fn)(struct sim_process *p, void *ctx, int signum),
                   void *ctx);

/* Numbers name a program also when it is gone; whether it has not ended yet. */
int sim_pid(const struct sim_process *p);
bool sim_alive(struct loop *loop, int pid);

/* Somebody sets the host's wall clock, forwards or back. */
void sim_set_wall(struct loop *loop, int64_t by);

/* A signal to the program under test: to whoever listens with loop_signal_start(). */
void sim_raise(struct loop *loop, int signum);

/* What is made from here on, until it is called with false, belongs to the world outside. For the
 * test's own code; callbacks know. */
void sim_outside(struct loop *loop, bool outside);

/*
 * Kill -9 of the program under test at a given time: its timers, posts, work, signals, streams,
 * listeners and its handles of processes and steps are gone without a callback; far sides see their
 * connections end; programs and steps it started go on. Its memory is the test's to drop. Then
 * `restart` runs as the program's new life. Virtual time and the world go on.
 */
void sim_kill_at(struct loop *loop, int64_t at, void (*restart)(void *ctx), void *ctx);

/* Called after every event; returns false when an invariant is broken, which stops the run. */
void sim_invariant(struct loop *loop, bool (*fn)(void *ctx), void *ctx);
/* Counts by kind, hash of everything that happened, virtual time run. */
struct sim_report {
    uint64_t events, refused, reset, stalled, split, lost;
    uint64_t killed; /* times the program was killed */
    uint64_t hash;
    int64_t simulated;
    bool broken; /* an invariant */
    bool stuck;  /* nothing can happen any more, though somebody holds the loop: it would hang */
};
void sim_report(const struct loop *loop, struct sim_report *out);
#endif
