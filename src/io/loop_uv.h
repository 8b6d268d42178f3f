/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOOP_UV_H
#define IO_LOOP_UV_H
/* What the files of the kernel's loop share: loop_uv.c, stream_uv.c, process_uv.c, shim.c. */
#include "io/list.h"
#include "io/loop_impl.h"
#include <uv.h>

#define READ_SIZE 65536

struct loop_uv {
    struct loop base;
    uv_loop_t uv;
    uv_timer_t wake; /* our heap's earliest timer; libuv's clock cannot be ours */
    uv_async_t async;
    uv_prepare_t prepare;
    uv_check_t check;
    int64_t now;
    bool now_known; /* forgotten before each wait for events */
    bool stopped, closing;
    int holds;
    atomic_word runner; /* the thread inside loop_run(), 0 = none */
    struct list streams, listeners;
    struct { /* process_uv.c */
        uv_signal_t child;
        bool watched, adopts;
        struct list running, ended;
        size_t count;
    } processes;
    char *buffer; /* READ_SIZE, for whoever reads now */
};

static inline struct loop_uv *uv_of(struct loop *loop) {
    return (struct loop_uv *)loop;
}

/* stream_uv.c */
struct stream *stream_uv_connect(struct loop *loop, const char *host, uint16_t port,
                                 const struct stream_events *events, void *ctx);
bool stream_uv_write(struct stream *stream, const struct stream_piece *pieces, size_t count);
size_t stream_uv_unsent(const struct stream *stream);
void stream_uv_read_pause(struct stream *stream, bool pause);
void stream_uv_close(struct stream *stream, enum close_reason reason);
const char *stream_uv_peer(const struct stream *stream);
struct listener *listener_uv_open(struct loop *loop, const char *host, uint16_t port,
                                  const struct listener_events *events, void *ctx,
                                  hardy_error *error);
uint16_t listener_uv_port(const struct listener *listener);
void listener_uv_close(struct listener *listener);
void stream_uv_close_all(struct loop_uv *l); /* and listeners, without a callback */

/* process_uv.c */
hardy_status process_uv_start(struct loop *loop, const struct process_options *options,
                              const struct process_events *events, void *ctx, struct process **out,
                              hardy_error *error);
void process_uv_signal(struct process *process, int signum);
void process_uv_pause_output(struct process *process, bool pause);
void process_uv_free(struct process *process);
void process_uv_adopt_orphans(struct loop *loop);
hardy_status process_uv_identify(struct loop *loop, int pid, struct process_identity *out);
hardy_status process_uv_attach(struct loop *loop, const struct process_identity *who,
                               const struct process_events *events, void *ctx, struct process **out,
                               hardy_error *error);
void process_uv_signal_itself(struct process *process, int signum);
size_t process_uv_family_signal(struct loop *loop, const struct process_family *family, int signum);
bool process_uv_find(struct loop *loop, const char *mark, struct process_identity *out, char *rest,
                     size_t size);
void process_uv_close_all(struct loop_uv *l); /* forgets them */

/* shim.c */
hardy_status shim_uv_lock(struct loop *loop, const char *base, int *lock_fd, hardy_error *error);
void shim_uv_unlock(struct loop *loop, int lock_fd);
hardy_status shim_uv_look(struct loop *loop, const char *base, const char *boot_id,
                          enum shim_state *state, struct shim_result *result, hardy_error *error);
void shim_uv_forget(struct loop *loop, const char *base);
hardy_status shim_uv_start(struct loop *loop, const struct shim_options *options,
                           const struct shim_events *events, void *ctx, struct shim **out,
                           hardy_error *error);
hardy_status shim_uv_attach(struct loop *loop, const char *base, const struct shim_events *events,
                            void *ctx, struct shim **out, hardy_error *error);
void shim_uv_cancel(struct shim *shim);
void shim_uv_free(struct shim *shim);
#endif
