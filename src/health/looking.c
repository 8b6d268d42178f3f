/* SPDX-License-Identifier: Apache-2.0 */
#include "health/looking.h"
#include "base/error.h"
#include "base/str.h"
#include "io/list.h"
#include <stdlib.h>

enum { AT_ONCE = 2 }; /* of the four threads that a pool has */

struct looking {
    struct list link;
    struct loop *loop;
    struct loop_work work;
    struct local_look look;
    bool began, left; /* left: nobody wants to know any more, but the thread is still at it */
    void (*done)(void *ctx, const struct local_look *seen);
    void *ctx;
};

/* Of the process, as the pool is; touched from loops' threads only, of which the program has one.
 */
static struct list under_way = {&under_way, &under_way}, waiting = {&waiting, &waiting};

static void free_looking(struct looking *l) {
    list_remove(&l->link);
    local_look_free(&l->look);
    free(l);
}

static size_t count_under_way(void) {
    size_t count = 0;
    for (struct list *at = under_way.next; at != &under_way; at = at->next)
        count++;
    return count;
}

static void in_thread(struct loop_work *work) {
    struct looking *l = work->ctx;
    local_look(&l->look);
}

static void begin_next(void);

static void on_looked(struct loop_work *work) {
    struct looking *l = work->ctx;
    list_remove(&l->link);
    begin_next();
    if (!l->left)
        l->done(l->ctx, &l->look);
    free_looking(l);
}

static void begin_next(void) {
    while (!list_empty(&waiting) && count_under_way() < AT_ONCE) {
        struct looking *l = LIST_ITEM(waiting.next, struct looking, link);
        if (loop_work(l->loop, &l->work) != HARDY_OK)
            return; /* no memory now: its time runs out, or the next one to end begins it */
        list_remove(&l->link);
        list_append(&under_way, &l->link);
        l->began = true;
    }
}

/* Whether a thread still hangs on what an earlier look was after. */
static bool hangs(const struct local_look *look) {
    for (const struct list *at = under_way.next; at != &under_way; at = at->next) {
        const struct looking *l = LIST_ITEM(at, const struct looking, link);
        if (l->left && l->look.kind == look->kind && str_eq(l->look.path, look->path))
            return true;
    }
    return false;
}

hardy_status looking_start(struct loop *loop, const struct check_settings *what,
                           void (*done)(void *ctx, const struct local_look *seen), void *ctx,
                           struct looking **out, hardy_error *error) {
    struct looking *l = calloc(1, sizeof *l);
    if (!l)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory");
    list_init(&l->link);
    l->loop = loop;
    l->work = (struct loop_work){.fn = in_thread, .done = on_looked, .ctx = l};
    l->done = done;
    l->ctx = ctx;
    hardy_status status = local_look_init(&l->look, what, loop_now(loop))
                              ? HARDY_OK
                              : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    if (status == HARDY_OK && hangs(&l->look))
        status = fail(error, HARDY_E_FULL, NULL, "an earlier look at it still hangs");
    if (status != HARDY_OK) {
        free_looking(l);
        return status;
    }
    list_append(&waiting, &l->link);
    begin_next();
    *out = l;
    return HARDY_OK;
}

bool looking_began(const struct looking *l) {
    return l->began;
}

void looking_cancel(struct looking *l) {
    l->left = true;
    if (!l->began)
        free_looking(l);
}
