/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOOP_SIM_H
#define IO_LOOP_SIM_H
/*
 * What the files of the simulated loop share: loop_sim.c, stream_sim.c, process_sim.c, shim_sim.c.
 *
 * Every event, ours and the code's above, is a timer in the loop's one heap. Ours are armed as the
 * world's (sim_arm), and each enters its owner's side before it calls back (sim_enter).
 */
#include "base/prng.h"
#include "io/list.h"
#include "io/loop_impl.h"
#include "io/sim.h"

struct loop_sim {
    struct loop base;
    struct sim_options options;
    struct prng faults;
    int64_t now, start;
    int64_t wall_set; /* by sim_set_wall(), in all */
    bool outside;     /* whose code runs now */
    bool stopped, over;
    int holds;
    uint64_t made; /* objects so far, for numbers in the trace */
    uint16_t next_port;
    struct sim_report report;
    bool (*invariant)(void *ctx);
    void *invariant_ctx;
    struct loop_timer kill;
    void (*restart)(void *ctx);
    void *restart_ctx;
    struct list signals, works, streams, listeners, programs, processes, handles, steps, shims;
};

static inline struct loop_sim *sim_of(struct loop *loop) {
    return (struct loop_sim *)loop;
}

/* Runs `timer` at a time, as the world's. */
void sim_arm(struct loop_sim *w, struct loop_timer *timer, int64_t at);
/* The side on which callbacks to an object run from now on; the caller restores what is returned.
 */
bool sim_enter(struct loop_sim *w, bool outside);
void sim_trace(struct loop_sim *w, const char *what, uint64_t a, uint64_t b);
bool sim_chance(struct loop_sim *w, double probability);
int64_t sim_between(struct loop_sim *w, int64_t low, int64_t high);

/* stream_sim.c */
struct stream *stream_sim_connect(struct loop *loop, const char *host, uint16_t port,
                                  const struct stream_events *events, void *ctx);
bool stream_sim_write(struct stream *stream, const struct stream_piece *pieces, size_t count);
size_t stream_sim_unsent(const struct stream *stream);
void stream_sim_read_pause(struct stream *stream, bool pause);
void stream_sim_close(struct stream *stream, enum close_reason reason);
const char *stream_sim_peer(const struct stream *stream);
struct listener *listener_sim_open(struct loop *loop, const char *host, uint16_t port,
                                   const struct listener_events *events, void *ctx,
                                   hardy_error *error);
uint16_t listener_sim_port(const struct listener *listener);
void listener_sim_close(struct listener *listener);
void stream_sim_drop(struct loop_sim *w, bool all); /* the program's, or all; and listeners */

/* process_sim.c */
struct sim_process;
/* How a process tells whoever started it. */
struct sim_parent {
    void (*output)(void *ctx, int fd, const char *data, size_t len);
    void (*exited)(void *ctx, int code, int signal);
    void *ctx;
};
/* `parent` copied. NULL and `error`: E_NOT_FOUND, E_NOMEM. */
struct sim_process *sim_process_new(struct loop_sim *w, const char *const *argv,
                                    const char *const *env, const struct sim_parent *parent,
                                    hardy_error *error);
void sim_process_signal(struct sim_process *p, int signum);
void sim_process_orphan(struct sim_process *p); /* nobody listens any more */
int sim_process_pid(const struct sim_process *p);
hardy_status process_sim_start(struct loop *loop, const struct process_options *options,
                               const struct process_events *events, void *ctx, struct process **out,
                               hardy_error *error);
void process_sim_signal(struct process *process, int signum);
void process_sim_pause_output(struct process *process, bool pause);
void process_sim_free(struct process *process);
void process_sim_adopt_orphans(struct loop *loop);
hardy_status process_sim_identify(struct loop *loop, int pid, struct process_identity *out);
hardy_status process_sim_attach(struct loop *loop, const struct process_identity *who,
                                const struct process_events *events, void *ctx,
                                struct process **out, hardy_error *error);
void process_sim_signal_itself(struct process *process, int signum);
size_t process_sim_family_signal(struct loop *loop, const struct process_family *family,
                                 int signum);
bool process_sim_find(struct loop *loop, const char *mark, struct process_identity *out, char *rest,
                      size_t size);
void process_sim_drop(struct loop_sim *w, bool all);

/* shim_sim.c */
hardy_status shim_sim_lock(struct loop *loop, const char *base, int *lock_fd, hardy_error *error);
void shim_sim_unlock(struct loop *loop, int lock_fd);
hardy_status shim_sim_look(struct loop *loop, const char *base, const char *boot_id,
                           enum shim_state *state, struct shim_result *result, hardy_error *error);
void shim_sim_forget(struct loop *loop, const char *base);
hardy_status shim_sim_start(struct loop *loop, const struct shim_options *options,
                            const struct shim_events *events, void *ctx, struct shim **out,
                            hardy_error *error);
hardy_status shim_sim_attach(struct loop *loop, const char *base, const struct shim_events *events,
                             void *ctx, struct shim **out, hardy_error *error);
void shim_sim_cancel(struct shim *shim);
void shim_sim_free(struct shim *shim);
void shim_sim_drop(struct loop_sim *w, bool all);
#endif
