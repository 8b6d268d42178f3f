/* SPDX-License-Identifier: Apache-2.0 */
/* Timers, posts, work, signals and descriptors of the kernel's loop. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "io/loop.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define MS HARDY_MILLISECOND

static struct loop *loop;

static int setup(void **state) {
    (void)state;
    loop = loop_uv_new(NULL);
    return loop ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static char order[64];
static size_t order_len;

static void note(char c) {
    assert_true(order_len < sizeof order - 1);
    order[order_len++] = c;
    order[order_len] = '\0';
}

static void note_timer(struct loop_timer *t) {
    note(*(const char *)t->ctx);
}

static void start(struct loop_timer *t, const char *name, int64_t at) {
    loop_timer_init(t, note_timer, (void *)(uintptr_t)name);
    loop_timer_start(loop, t, at);
}

static void timers_fire_in_order(void **state) {
    (void)state;
    struct loop_timer t[7];
    int64_t now = loop_now(loop);
    order_len = 0;
    start(&t[0], "c", now + 4 * MS);
    start(&t[1], "a", now + 2 * MS);
    start(&t[2], "b", now + 2 * MS); /* equal times: in the order they were armed */
    start(&t[3], "x", now + 3 * MS);
    start(&t[4], "d", now + 9 * MS);
    start(&t[5], "0", now - 5 * MS); /* the past: at once */
    start(&t[6], "n", now + MS);
    loop_timer_start(loop, &t[6], HARDY_NEVER);  /* never stops it */
    loop_timer_start(loop, &t[4], now + 5 * MS); /* arming again moves it */
    loop_timer_stop(loop, &t[3]);
    loop_run(loop);
    assert_string_equal(order, "0abcd");
    assert_true(loop_now(loop) - now >= 5 * MS);
    assert_true(loop_now(loop) - now < 1000 * MS);
}

static void a_timer_armed_by_a_time_only_moves_forward(void **state) {
    (void)state;
    struct loop_timer t[3];
    int64_t now = loop_now(loop);
    order_len = 0;
    start(&t[0], "b", now + 4 * MS);
    start(&t[1], "a", now + 4 * MS);
    start(&t[2], "c", now + 5 * MS);
    loop_timer_start_by(loop, &t[0], now + 9 * MS); /* later: stays */
    loop_timer_start_by(loop, &t[0], HARDY_NEVER);
    loop_timer_start_by(loop, &t[1], now + 2 * MS); /* earlier: moves */
    loop_timer_stop(loop, &t[2]);
    loop_timer_start_by(loop, &t[2], now + 6 * MS); /* not armed: armed */
    loop_run(loop);
    assert_string_equal(order, "abc");
    loop_timer_start_by(loop, &t[2], HARDY_NEVER);
    loop_run(loop);
    assert_string_equal(order, "abc");
}

static int rearmed;
static void rearm(struct loop_timer *t) {
    if (++rearmed < 1000) {
        loop_timer_start(loop, t, loop_now(loop) - HARDY_SECOND);
    }
}

/* A timer that is always due must not keep the others from having their turn. */
static void eager_timer_starves_nobody(void **state) {
    (void)state;
    struct loop_timer eager, other;
    rearmed = 0;
    order_len = 0;
    loop_timer_init(&eager, rearm, NULL);
    loop_timer_start(loop, &eager, 0);
    start(&other, "o", loop_now(loop));
    loop_run(loop);
    assert_string_equal(order, "o");
    assert_int_equal(rearmed, 1000);
}

static int64_t seen[3];
static void see_now(struct loop_timer *t) {
    (void)t;
    seen[0] = loop_now(loop);
    int64_t end = clock_now() + MS;
    while (clock_now() < end) {
    }
    seen[1] = loop_now(loop);
    seen[2] = loop_clock(loop);
}

static void time_is_the_hosts_and_stands_still_in_a_turn(void **state) {
    (void)state;
    struct loop_timer t;
    int64_t before = clock_now();
    loop_timer_init(&t, see_now, NULL);
    loop_timer_start(loop, &t, loop_now(loop));
    loop_run(loop);
    assert_true(seen[0] >= before && seen[0] <= clock_now());
    assert_int_equal(seen[0], seen[1]);
    assert_true(seen[2] - seen[1] >= MS && seen[2] <= clock_now()); /* but the clock goes on */
    assert_true(loop_now(loop) > seen[1]);
    hardy_env env = loop_env(loop);
    assert_true(env.now(env.ctx) - clock_now() < 1000 * MS);
    assert_true(loop_random(loop) != loop_random(loop));
}

static void stop_from_timer(struct loop_timer *t) {
    (void)t;
    loop_stop(loop);
}

static void stop_returns_and_the_rest_stays(void **state) {
    (void)state;
    struct loop_timer t, later;
    order_len = 0;
    loop_timer_init(&t, stop_from_timer, NULL);
    loop_timer_start(loop, &t, loop_now(loop));
    start(&later, "l", loop_now(loop));
    loop_run(loop);
    assert_string_equal(order_len ? order : "", "");
    loop_run(loop);
    assert_string_equal(order, "l");
}

/* --- posts --- */

#define THREADS 4
#define POSTS 500
static struct loop_post posts[THREADS][POSTS];
static int arrived[THREADS], total;

static void on_post(struct loop_post *p) {
    int thread = (int)(intptr_t)p->ctx;
    assert_ptr_equal(p, &posts[thread][arrived[thread]]); /* each thread's in its order */
    arrived[thread]++;
    if (++total == THREADS * POSTS) {
        loop_release(loop);
    }
}

static void *poster(void *ctx) {
    int thread = (int)(intptr_t)ctx;
    for (int i = 0; i < POSTS; i++) {
        posts[thread][i] = (struct loop_post){.fn = on_post, .ctx = ctx};
        loop_post(loop, &posts[thread][i]);
    }
    return NULL;
}

static void posts_from_threads_all_arrive(void **state) {
    (void)state;
    pthread_t t[THREADS];
    total = 0;
    loop_hold(loop); /* nothing else keeps the loop alive */
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&t[i], NULL, poster, (void *)(intptr_t)i);
    }
    loop_run(loop);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(total, THREADS * POSTS);
}

static int chained;
static void chain(struct loop_post *p) {
    if (++chained < 5) {
        loop_post(loop, p);
    }
}

static void posts_of_the_loops_own_thread_run_without_anything_else(void **state) {
    (void)state;
    struct loop_post p = {.fn = chain};
    chained = 0;
    loop_post(loop, &p);
    assert_int_equal(chained, 0);
    loop_run(loop);
    assert_int_equal(chained, 5);
}

/* --- work, signals, descriptors --- */

static pthread_t worker;
static void do_work(struct loop_work *w) {
    worker = pthread_self();
    *(int *)w->ctx += 1;
}
static void work_done(struct loop_work *w) {
    *(int *)w->ctx += 10;
}

static void work_runs_elsewhere_and_is_done_here(void **state) {
    (void)state;
    int value = 0;
    struct loop_work w = {.fn = do_work, .done = work_done, .ctx = &value};
    assert_int_equal(loop_work(loop, &w), HARDY_OK);
    loop_run(loop);
    assert_int_equal(value, 11);
    assert_false(pthread_equal(worker, pthread_self()));
}

/* Hangs until something is written to the pipe that it reads. */
struct hanging {
    struct loop_work work;
    int ends[2];
    sem_t gone;
    bool done;
};

static void do_hang(struct loop_work *w) {
    const struct hanging *h = w->ctx;
    char byte;
    assert_int_equal(read(h->ends[0], &byte, 1), 1);
}

static void hang_done(struct loop_work *w) {
    struct hanging *h = w->ctx;
    h->done = true;
}

static void hang_gone(struct loop_work *w) {
    struct hanging *h = w->ctx;
    sem_post(&h->gone);
}

static void begin_hanging(struct loop *l, struct hanging *h) {
    *h = (struct hanging){.work = {.fn = do_hang, .done = hang_done, .ctx = h}};
    assert_int_equal(sem_init(&h->gone, 0, 0), 0);
    assert_int_equal(pipe(h->ends), 0);
    assert_int_equal(loop_work_apart(l, &h->work), HARDY_OK);
}

static void end_hanging(struct hanging *h) {
    close(h->ends[0]);
    close(h->ends[1]);
    sem_destroy(&h->gone);
}

static void work_apart_is_waited_for_until_it_is_left(void **state) {
    struct hanging done, left, ended;
    struct loop *other = loop_uv_new(NULL);
    (void)state;
    begin_hanging(other, &done);
    begin_hanging(other, &left);
    begin_hanging(other, &ended);
    assert_int_equal(write(done.ends[1], "x", 1), 1);
    loop_work_leave(other, &left.work, hang_gone);
    /* Left when it had ended, perhaps, but nobody was told yet. */
    assert_int_equal(write(ended.ends[1], "x", 1), 1);
    usleep(20000);
    loop_work_leave(other, &ended.work, hang_gone);
    loop_run(other); /* for the first; not for what was left */
    assert_true(done.done);
    assert_false(left.done || ended.done);
    assert_int_equal(sem_wait(&ended.gone), 0);
    assert_int_not_equal(sem_trywait(&left.gone), 0);
    loop_free(other);
    assert_int_equal(write(left.ends[1], "x", 1), 1);
    assert_int_equal(sem_wait(&left.gone), 0);
    assert_false(left.done || ended.done);
    end_hanging(&done);
    end_hanging(&left);
    end_hanging(&ended);
}

static int caught;
static void on_signal(void *ctx, int signum) {
    (void)ctx;
    caught = signum;
    loop_stop(loop);
}

static void signals_arrive_and_do_not_keep_the_loop_alive(void **state) {
    (void)state;
    struct loop_signal *s = loop_signal_start(loop, SIGUSR1, on_signal, NULL);
    assert_non_null(s);
    loop_run(loop); /* returns: nothing else is alive */
    caught = 0;
    loop_hold(loop);
    raise(SIGUSR1);
    loop_run(loop);
    assert_int_equal(caught, SIGUSR1);
    loop_release(loop);
    loop_signal_stop(s);
}

struct reader {
    struct loop_watch *watch;
    int fd, reads;
};
static void on_readable(void *ctx) {
    struct reader *r = ctx;
    char c;
    if (read(r->fd, &c, 1) == 1) {
        r->reads++;
        return;
    }
    loop_watch_stop(r->watch);
    r->watch = NULL;
}

static void descriptors_are_watched(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct reader r = {.fd = ends[0]};
    r.watch = loop_watch_start(loop, ends[0], on_readable, &r);
    assert_non_null(r.watch);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    close(ends[1]);
    loop_watch_pause(r.watch, true);
    loop_run(loop); /* paused: nothing to wait for */
    assert_int_equal(r.reads, 0);
    loop_watch_pause(r.watch, false);
    loop_run(loop);
    assert_int_equal(r.reads, 3);
    assert_null(r.watch);
    close(ends[0]);
}

static void what_is_left_is_freed(void **state) {
    (void)state;
    static int value;
    static struct loop_work w = {.fn = do_work, .done = work_done, .ctx = &value};
    static struct reader r;
    int ends[2];
    struct loop *other = loop_uv_new(NULL);
    assert_non_null(other);
    value = 0;
    assert_int_equal(pipe(ends), 0);
    assert_non_null(loop_watch_start(other, ends[0], on_readable, &r));
    assert_non_null(loop_signal_start(other, SIGUSR2, on_signal, NULL));
    assert_int_equal(loop_work(other, &w), HARDY_OK);
    loop_free(other);
    assert_int_equal(value, 11);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_armed_by_a_time_only_moves_forward, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(eager_timer_starves_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(time_is_the_hosts_and_stands_still_in_a_turn, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stop_returns_and_the_rest_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(posts_from_threads_all_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(posts_of_the_loops_own_thread_run_without_anything_else,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(work_runs_elsewhere_and_is_done_here, setup, teardown),
        cmocka_unit_test_setup_teardown(work_apart_is_waited_for_until_it_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_arrive_and_do_not_keep_the_loop_alive, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(descriptors_are_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_is_freed, setup, teardown),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
