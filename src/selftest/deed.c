/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest/deed.h"
#include "base/parse.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EFFECTS "effects"
#define EFFECTS_MAX ((size_t)64 << 20)
#define STEPS_MAX 256
enum { CANNOT = 97 }; /* the exit code of a part that could not do its part */

struct deed *deed_add(struct world *w, struct deeds *all, const char *run, const char *step,
                      const char *policy) {
    if (all->count == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 64;
        struct deed *list = realloc(all->list, cap * sizeof *list);
        if (!list) {
            world_fail(w, "no memory");
            return NULL;
        }
        all->list = list;
        all->cap = cap;
    }
    struct deed *d = &all->list[all->count++];
    *d = (struct deed){.policy = policy};
    str_copy(d->run, sizeof d->run, run);
    str_copy(d->step, sizeof d->step, step);
    return d;
}

struct deed *deed_find(struct deeds *all, const char *run, const char *step) {
    for (size_t i = all->count; i-- > 0;) { /* those of the latest runs are asked for */
        if (str_eq(all->list[i].run, run) && str_eq(all->list[i].step, step)) {
            return &all->list[i];
        }
    }
    return NULL;
}

/* --- lines: "RUN STEP ATTEMPT" ----------------------------------------------------------------
 */

struct line {
    const char *run, *step, *attempt;
};
/* Calls `fn` for each; the text is cut into words. */
static void each_line(struct buf *text, void (*fn)(void *ctx, const struct line *l), void *ctx) {
    char *rest = text->data, *at;
    while (rest && (at = strsep(&rest, "\n")) != NULL && *at) {
        struct line l = {.run = strsep(&at, " ")};
        l.step = at ? strsep(&at, " ") : "";
        l.attempt = at ? at : "";
        fn(ctx, &l);
    }
}

struct counting {
    const char *run, *step; /* NULL = any */
    int attempt;            /* 0 = any */
    int count;
};
static void count_line(void *ctx, const struct line *l) {
    struct counting *c = ctx;
    c->count += (!c->run || str_eq(l->run, c->run)) && (!c->step || str_eq(l->step, c->step)) &&
                (c->attempt == 0 || (int)strtol(l->attempt, NULL, 10) == c->attempt);
}

static int count_in(struct buf *text, struct counting wanted) {
    buf_putc(text, '\0');
    each_line(text, count_line, &wanted);
    return wanted.count;
}

int deed_effects(struct world *w, const char *run, const char *step, int attempt) {
    struct buf text;
    buf_init(&text, EFFECTS_MAX);
    world_read(w, EFFECTS, &text);
    int count = count_in(&text, (struct counting){.run = run, .step = step, .attempt = attempt});
    buf_free(&text);
    return count;
}

int deed_total(struct world *w) {
    return deed_effects(w, NULL, NULL, 0);
}

bool deed_count(struct world *w, struct deeds *all, const char *run) {
    const char *const words[] = {PART_COMMAND, "count", run, NULL};
    struct buf text;
    int code = world_run(w, words, NULL, NULL, "counted");
    buf_init(&text, EFFECTS_MAX);
    world_read(w, "counted", &text);
    buf_putc(&text, '\0');
    char *rest = text.data, *at;
    while (rest && (at = strsep(&rest, "\n")) != NULL && *at) {
        const char *step = strsep(&at, " ");
        struct deed *d = deed_find(all, run, step);
        if (d) {
            d->effects = at ? (int)strtol(at, NULL, 10) : 0;
        } else {
            world_fail(w, "%s %s has an effect and was never asked for", run, step);
        }
    }
    if (code != 0 || text.failed) {
        world_fail(w, "the effects of %s cannot be counted", run);
    }
    buf_free(&text);
    return w->status == HARDY_OK;
}

static char *alive_name(const char *run) {
    return str_format("alive.%s", run);
}

bool deed_alive(struct world *w, const char *run) {
    char *name = alive_name(run), *path = name ? world_path(w, name) : NULL;
    int fd = path && file_exists(path) ? lock_open(path, NULL) : -1;
    bool alive = fd >= 0 && lock_held(fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    free(name);
    return alive;
}

/* --- the parts --------------------------------------------------------------------------------
 */

static void on_time(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static bool wait_us(struct loop *loop, const char *text) {
    struct loop_timer timer;
    int64_t us = strtol(text, NULL, 10);
    loop_timer_init(&timer, on_time, loop);
    loop_timer_start(loop, &timer, loop_clock(loop) + us * HARDY_MICROSECOND);
    loop_run(loop);
    return us >= 0;
}

/* While it lives it holds a read lock on the file `alive.RUN`. */
static int effect(char *const *times, const char *run, const char *step, const char *attempt) {
    char *name = alive_name(run);
    int alive = name ? lock_open(name, NULL) : -1;
    struct loop *loop = loop_uv_new(NULL);
    int code = CANNOT;
    if (loop && alive >= 0 && lock_share(alive, 0, NULL) == HARDY_OK && wait_us(loop, times[0])) {
        char line[160];
        int len = snprintf(line, sizeof line, "%s %s %s\n", run, step, attempt);
        int fd = open(EFFECTS, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && len < (int)sizeof line && write(fd, line, (size_t)len) == len &&
            wait_us(loop, times[1])) {
            printf("{\"id\": \"%s\"}\n", step);
            code = 0;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    if (alive >= 0) {
        close(alive);
    }
    if (loop) {
        loop_free(loop);
    }
    free(name);
    return code;
}

static int read_effects(struct buf *text) {
    buf_init(text, EFFECTS_MAX);
    return !file_exists(EFFECTS) || file_read(EFFECTS, text, NULL) == HARDY_OK ? 0 : CANNOT;
}

struct tally {
    const char *run;
    struct {
        const char *step;
        int count;
    } steps[STEPS_MAX];
    size_t count;
};
static void tally_line(void *ctx, const struct line *l) {
    struct tally *t = ctx;
    size_t i = 0;
    if (!str_eq(l->run, t->run)) {
        return;
    }
    while (i < t->count && !str_eq(t->steps[i].step, l->step)) {
        i++;
    }
    if (i == t->count && t->count < STEPS_MAX) {
        t->steps[t->count++].step = l->step;
    }
    if (i < STEPS_MAX) {
        t->steps[i].count++;
    }
}

static int probe(const char *run, const char *step) {
    struct buf text;
    struct tally t = {.run = run};
    int code = read_effects(&text), there = 0;
    char undo[80];
    snprintf(undo, sizeof undo, "%s" DEED_UNDO, step);
    buf_putc(&text, '\0');
    each_line(&text, tally_line, &t);
    for (size_t i = 0; i < t.count; i++) {
        there = str_eq(t.steps[i].step, step) ? there + 1 : there;
        there = str_eq(t.steps[i].step, undo) ? there - 1 : there;
    }
    if (code == 0 && there <= 0) {
        code = 1;
    } else if (code == 0) {
        printf("{\"id\": \"%s\"}\n", step);
    }
    buf_free(&text);
    return code;
}

static int count(const char *run) {
    static struct tally t;
    struct buf text;
    int code = read_effects(&text);
    t.run = run;
    buf_putc(&text, '\0');
    each_line(&text, tally_line, &t);
    for (size_t i = 0; i < t.count; i++) {
        printf("%s %d\n", t.steps[i].step, t.steps[i].count);
    }
    buf_free(&text);
    return code;
}

static int try_lock(const char *path) {
    int fd = lock_open(path, NULL);
    hardy_status status = fd < 0 ? HARDY_E_IO : lock_try(fd, 0, NULL);
    if (fd >= 0) {
        close(fd);
    }
    return status == HARDY_OK ? 0 : status == HARDY_E_RUNNING ? 1 : CANNOT;
}

int deed_part(int argc, char *const *argv, const char *run, const char *step, const char *attempt) {
    const char *part = argc > 0 ? argv[0] : "";
    if (str_eq(part, "effect") && argc == 3 && run && step && attempt) {
        return effect(argv + 1, run, step, attempt);
    }
    if (str_eq(part, "undo") && argc == 3 && run && step && attempt) {
        char undo[80];
        snprintf(undo, sizeof undo, "%s" DEED_UNDO, step);
        return effect(argv + 1, run, undo, attempt);
    }
    if (str_eq(part, "probe") && argc == 1 && run && step) {
        return probe(run, step);
    }
    if (str_eq(part, "count") && argc == 2) {
        return count(argv[1]);
    }
    if (str_eq(part, "lock") && argc == 2) {
        return try_lock(argv[1]);
    }
    return CANNOT;
}
