/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOOP_H
#define IO_LOOP_H
/*
 * The event loop: time, timers, streams, processes, work off the loop. Two implementations,
 * loop_uv (the kernel's) and loop_sim (virtual time, one seed, faults); code above cannot tell.
 *
 * One thread runs a loop; only loop_post() may be called from others. Callbacks come from
 * loop_run(), never from inside the call that asked for them. After a *_stop or *_close call no
 * further callback comes for that handle, but for the one the call itself announces.
 */
#include "base/heap.h"
#include <hardy/env.h>

struct loop;

/* The program ignores SIGPIPE before it makes a loop: a peer that has gone is an error of a write,
 * not the program's end. NULL = failed. */
struct loop *loop_uv_new(hardy_error *error);
/* Waits for work that runs, and calls its `done`. Streams, listeners, watches and signals that are
 * left are closed without a callback, processes forgotten; timers and posts are their owners'. */
void loop_free(struct loop *loop);

/* Monotonic, cached for one turn, never goes back. The host's CLOCK_BOOTTIME on the kernel's loop,
 * so that other processes understand it. */
int64_t loop_now(struct loop *loop);
/* The time at this moment, not the turn's: for measuring what happens within one. */
int64_t loop_clock(struct loop *loop);
int64_t loop_wall(struct loop *loop); /* since the epoch */
uint64_t loop_random(struct loop *loop);
hardy_env loop_env(struct loop *loop); /* now, wall and random of this loop, for guards */

/* Runs until loop_stop() or until nothing is left that could call back. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* loop_run() returns after this turn; may be run again */

/* --- timers: caller-owned, one shot. One that is set outlasts the loop, unless it is stopped. */
struct loop_timer {
    struct heap_node node;
    void (*fn)(struct loop_timer *timer);
    void *ctx;
    bool outside; /* private to the simulation: not the program's, see sim.h */
};
void loop_timer_init(struct loop_timer *timer, void (*fn)(struct loop_timer *), void *ctx);
/* (Re)arms at an absolute time; HARDY_NEVER stops it; a time past fires on the next turn. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t at);
/* Armed at `at` at the latest: one that will fire before is left alone. For limits that are moved
 * far more often than they pass: their owner looks at the time when it fires, and arms it again. */
void loop_timer_start_by(struct loop *loop, struct loop_timer *timer, int64_t at);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* --- posts: run fn on the loop's thread; from any thread; caller-owned until it has run ----- */
struct loop_post {
    struct loop_post *next;
    void (*fn)(struct loop_post *post);
    void *ctx;
    bool outside; /* private, as in loop_timer */
};
void loop_post(struct loop *loop, struct loop_post *post);
/* Keeps loop_run() alive while something outside (a store thread) will post. Counted. */
void loop_hold(struct loop *loop);
void loop_release(struct loop *loop);

/* --- work: fn in a thread pool, then done on the loop ---------------------------------------- */
struct loop_work {
    void (*fn)(struct loop_work *work);
    void (*done)(struct loop_work *work);
    void *ctx;
    void *internal;
    bool outside; /* private, as in loop_timer */
};
/* `fn` must end by itself: it cannot be stopped. E_NOMEM. */
hardy_status loop_work(struct loop *loop, struct loop_work *work);
/* The same in a thread of its own, for what may hang (on a dead file system): then the pool is
 * there for others, and neither loop_free() nor the end of the process waits for it. Either it is
 * done before loop_free(), or it is left. */
hardy_status loop_work_apart(struct loop *loop, struct loop_work *work);
/* Nobody wants its end any more: `done` is not called; `gone` is instead, when `fn` has returned at
 * last, from any thread, perhaps from inside this call. Then the work may be freed. */
void loop_work_leave(struct loop *loop, struct loop_work *work, void (*gone)(struct loop_work *));

/* --- signals ------------------------------------------------------------------------------- */
struct loop_signal;
/* Does not keep loop_run() alive. NULL only without memory. */
struct loop_signal *loop_signal_start(struct loop *loop, int signum,
                                      void (*fn)(void *ctx, int signum), void *ctx);
void loop_signal_stop(struct loop_signal *signal);

/* --- descriptors: calls back while `fd` is readable (or hung up) ------------------------------ */
struct loop_watch;
/* Borrowed until loop_watch_stop(), after which the caller may close it at once. Pipes, sockets,
 * pidfds; no regular files. NULL: cannot be watched (regular file, no memory, a simulated loop). */
struct loop_watch *loop_watch_start(struct loop *loop, int fd, void (*fn)(void *ctx), void *ctx);
void loop_watch_pause(struct loop_watch *watch, bool pause);
void loop_watch_stop(struct loop_watch *watch); /* NULL is fine */

/* --- byte streams over TCP ------------------------------------------------------------------ */
enum close_reason { /* why a stream ended; text for logs and labels by close_reason_text() */
                    CLOSE_LOCAL, /* this side closed it */
                    CLOSE_EOF,   /* the far side finished */
                    CLOSE_REFUSED,
                    CLOSE_RESET,
                    CLOSE_UNREACHABLE,
                    CLOSE_RESOLVE, /* the name has no address */
                    CLOSE_TIMEOUT,
                    CLOSE_TOO_LARGE,
                    CLOSE_PROTOCOL,
                    CLOSE_TLS,
                    CLOSE_SHUTDOWN,
                    CLOSE_ERROR
};
const char *close_reason_text(enum close_reason reason);

struct stream;
struct stream_events {
    void (*connected)(void *ctx, struct stream *s);
    void (*data)(void *ctx, struct stream *s, const char *data,
                 size_t len); /* borrowed for the call */
    /* Everything written has left. Only after stream_unsent() was above 0: not for a write that
     * left at once. May be NULL. */
    void (*drained)(void *ctx, struct stream *s);
    /* The last callback; the stream is gone when it returns. `detail` is a text, borrowed. EOF
     * comes here too: half-closed streams are not kept. */
    void (*closed)(void *ctx, struct stream *s, enum close_reason reason, const char *detail);
    /* Where the next bytes may be read to, at most *len of them, which then come to `data` in that
     * place; NULL = into the loop's own memory. Asked before each read, for what is so large that
     * copying it costs. May be NULL. */
    char *(*space)(void *ctx, struct stream *s, size_t *len);
};
/* Resolves and connects, trying each address, the next after 250 ms while the ones before are still
 * silent; TCP_NODELAY. No time limit but the kernel's: close it when yours has passed. `events`
 * borrowed for the stream's life. Failures come through `closed`. NULL only without memory. */
struct stream *stream_connect(struct loop *loop, const char *host, uint16_t port,
                              const struct stream_events *events, void *ctx);
/* Copied; also before it is connected. Returns false when the stream is closing. Bytes not yet sent
 * are counted; beyond STREAM_UNSENT_MAX the stream is closed with CLOSE_TOO_LARGE. */
#define STREAM_UNSENT_MAX ((size_t)64 << 20)
bool stream_write(struct stream *s, const void *data, size_t len);
/* The same for what lies in several places: it leaves together. */
#define STREAM_PIECES_MAX 4
struct stream_piece {
    const void *data;
    size_t len;
};
bool stream_writev(struct stream *s, const struct stream_piece *pieces, size_t count);
size_t stream_unsent(const struct stream *s);
void stream_read_pause(struct stream *s);
void stream_read_resume(struct stream *s);
/* Sends what is pending when `reason` is CLOSE_LOCAL (10 seconds at most), then closes; else at
 * once. No data comes any more, only `closed`. A second call with another reason hurries it up.
 * With CLOSE_RESET the far side learns of a reset, which drops what it has not read yet; with every
 * other reason, of an end. */
void stream_close(struct stream *s, enum close_reason reason);
/* Gives the stream another owner, in the middle of its life (TLS, a connection pool). */
void stream_set_events(struct stream *s, const struct stream_events *events, void *ctx);
/* "127.0.0.1:80", "[::1]:80", the name as given while it connects; borrowed. */
const char *stream_peer(const struct stream *s);

struct listener;
struct listener_events {
    /* A new connection: set its events with stream_set_events() before returning. */
    void (*accepted)(void *ctx, struct stream *s);
};
/* `port` 0 picks a free one; a name is resolved at once (E_NOT_FOUND). NULL and `error` on failure,
 * naming the address: E_EXISTS in use, E_READONLY not permitted. */
struct listener *listener_open(struct loop *loop, const char *host, uint16_t port,
                               const struct listener_events *events, void *ctx, hardy_error *error);
uint16_t listener_port(const struct listener *l);
void listener_close(struct listener *l);

/* --- child processes -------------------------------------------------------------------------- */
enum process_group {
    PROCESS_GROUP_NEW = 0,  /* its own process group, ended as a whole */
    PROCESS_GROUP_SAME = 1, /* stays in ours: for a command that uses our terminal */
    PROCESS_SESSION_NEW = 2 /* its own session: it outlives us */
};
enum process_stdin { PROCESS_STDIN_NULL = 0, PROCESS_STDIN_INHERIT = 1, PROCESS_STDIN_FD = 2 };
struct process;
struct process_options {
    const char *const *argv; /* NULL-terminated; argv[0] looked up in the child's PATH */
    const char *path;        /* the file to execute; NULL = as argv[0] says */
    const char *const *env;  /* NULL-terminated "K=V"; NULL = ours */
    const char *cwd;         /* NULL = ours */
    enum process_group group;
    enum process_stdin stdin_mode;
    int stdin_fd;                        /* with PROCESS_STDIN_FD */
    bool capture_stdout, capture_stderr; /* through `output`; else inherited, or the fd below */
    int stdout_fd, stderr_fd;            /* -1 = ours; the child's copy, ours stays the caller's */
    const int *keep_fds; /* further descriptors handed on as 3, 4, ... (at most 8) */
    size_t keep_count;
};
struct process_events {
    /* A piece of output; fd 1 or 2; borrowed for the call. May be NULL when nothing is captured. */
    void (*output)(void *ctx, struct process *p, int fd, const char *data, size_t len);
    /* The process itself ended (not necessarily its descendants); what it had written was
     * delivered. `signal` 0 = it exited with `code`. The last callback but for process_free. */
    void (*exited)(void *ctx, struct process *p, int code, int signal);
};
void process_options_init(struct process_options *o);
/* The child starts with default signals (an ignored SIGHUP stays ignored: nohup), an empty mask,
 * and no descriptor of ours but those named. A file without "#!" runs under /bin/sh, as everywhere.
 * E_NOT_FOUND (127): no such command; E_READONLY (126): not executable; E_INVALID: no such cwd;
 * E_TOO_LARGE: arguments; E_NOMEM: no memory, no process slot; each names the command. */
hardy_status process_start(struct loop *loop, const struct process_options *options,
                           const struct process_events *events, void *ctx, struct process **out,
                           hardy_error *error);
int process_pid(const struct process *p);
/* Its whole group (also what is left of it after it exited); itself with PROCESS_GROUP_SAME. */
void process_signal(struct process *p, int signum);
void process_pause_output(struct process *p, bool pause); /* back-pressure */
/* After exited; or before: forgets it, without killing. Its descriptors are closed. */
void process_free(struct process *p);
/* From now on this process adopts what children leave behind (PR_SET_CHILD_SUBREAPER) and the loop
 * reaps it: no other code of the program may wait for children. */
void process_adopt_orphans(struct loop *loop);

/* Everything below `pid` except `pid` itself, also what has made its own group or session: sends
 * `signum` (0: only counts) to each. What was orphaned is found only below a subreaper. Returns how
 * many there were; zombies do not count. */
size_t process_signal_below(int pid, int signum);
#endif
