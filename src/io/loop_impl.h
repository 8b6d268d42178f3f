/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOOP_IMPL_H
#define IO_LOOP_IMPL_H
/*
 * What an implementation of the loop provides; only for loop_uv, loop_sim and their files. Each
 * object begins with the head given here, which loop.c uses to find the implementation.
 */
#include "base/atomic.h"
#include "io/family.h"
#include "io/loop.h"
#include "io/shim.h"

struct loop_ops {
    void (*free)(struct loop *);
    int64_t (*now)(struct loop *);
    int64_t (*clock)(struct loop *);
    int64_t (*wall)(struct loop *);
    int64_t (*env_now)(void *loop); /* the same clocks, from any thread */
    int64_t (*env_wall)(void *loop);
    void (*run)(struct loop *);
    void (*stop)(struct loop *);
    void (*hold)(struct loop *, int change);
    void (*posted)(struct loop *);  /* a post was queued, maybe from another thread */
    bool (*outside)(struct loop *); /* whose timers and posts are made now; NULL = the program's */
    hardy_status (*work)(struct loop *, struct loop_work *);
    hardy_status (*work_apart)(struct loop *, struct loop_work *);
    void (*work_leave)(struct loop_work *, void (*gone)(struct loop_work *));
    struct loop_signal *(*signal_start)(struct loop *, int, void (*)(void *, int), void *);
    void (*signal_stop)(struct loop_signal *);
    struct loop_watch *(*watch_start)(struct loop *, int, void (*)(void *), void *);
    void (*watch_pause)(struct loop_watch *, bool);
    void (*watch_stop)(struct loop_watch *);

    struct stream *(*stream_connect)(struct loop *, const char *, uint16_t,
                                     const struct stream_events *, void *);
    bool (*stream_write)(struct stream *, const struct stream_piece *, size_t);
    size_t (*stream_unsent)(const struct stream *);
    void (*stream_read_pause)(struct stream *, bool);
    void (*stream_close)(struct stream *, enum close_reason);
    const char *(*stream_peer)(const struct stream *);
    struct listener *(*listener_open)(struct loop *, const char *, uint16_t,
                                      const struct listener_events *, void *, hardy_error *);
    uint16_t (*listener_port)(const struct listener *);
    void (*listener_close)(struct listener *);

    hardy_status (*process_start)(struct loop *, const struct process_options *,
                                  const struct process_events *, void *, struct process **,
                                  hardy_error *);
    void (*process_signal)(struct process *, int);
    void (*process_pause_output)(struct process *, bool);
    void (*process_free)(struct process *);
    void (*process_adopt_orphans)(struct loop *);
    hardy_status (*process_identify)(struct loop *, int, struct process_identity *);
    hardy_status (*process_attach)(struct loop *, const struct process_identity *,
                                   const struct process_events *, void *, struct process **,
                                   hardy_error *);
    void (*process_signal_itself)(struct process *, int);
    size_t (*process_family_signal)(struct loop *, const struct process_family *, int);
    bool (*process_find)(struct loop *, const char *, struct process_identity *, char *, size_t);

    hardy_status (*shim_lock)(struct loop *, const char *, int *, hardy_error *);
    void (*shim_unlock)(struct loop *, int);
    hardy_status (*shim_look)(struct loop *, const char *, const char *, enum shim_state *,
                              struct shim_result *, hardy_error *);
    void (*shim_forget)(struct loop *, const char *);
    hardy_status (*shim_start)(struct loop *, const struct shim_options *,
                               const struct shim_events *, void *, struct shim **, hardy_error *);
    hardy_status (*shim_attach)(struct loop *, const char *, const struct shim_events *, void *,
                                struct shim **, hardy_error *);
    void (*shim_cancel)(struct shim *);
    void (*shim_free)(struct shim *);
};

struct loop {
    const struct loop_ops *ops;
    struct heap timers;
    atomic_word posts;       /* newest first: struct loop_post * */
    struct loop_post *taken; /* due, oldest first */
    uint64_t seed;
    atomic_word drawn; /* random numbers so far */
};
struct loop_signal {
    struct loop *loop;
};
struct loop_watch {
    struct loop *loop;
};
struct stream {
    struct loop *loop;
    const struct stream_events *events;
    void *ctx;
};
struct listener {
    struct loop *loop;
    const struct listener_events *events;
    void *ctx;
};
struct process {
    struct loop *loop;
    const struct process_events *events;
    void *ctx;
    int pid;
};
struct shim {
    struct loop *loop;
    const struct shim_events *events;
    void *ctx;
};

void loop_init(struct loop *loop, const struct loop_ops *ops, uint64_t seed);
void loop_close(struct loop *loop); /* frees what loop_init() made */
bool loop_has_posts(const struct loop *loop);
/* What was posted so far becomes due; then one after the other, oldest first; NULL = no more. What
 * these post in turn waits for the next call. The loop's thread only. */
void loop_posts_due(struct loop *loop);
struct loop_post *loop_next_post(struct loop *loop);
#endif
