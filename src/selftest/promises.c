/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest/promises.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include "selftest/deed.h"
#include "selftest/syncs.h"
#include "store/store.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMITS 20

struct check {
    struct world world;
    const struct promises_options *options;
};

static void tell(struct check *c, bool kept, const char *what, const char *format, ...)
    HARDY_PRINTF(4, 5);
static void tell(struct check *c, bool kept, const char *what, const char *format, ...) {
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    if (c->world.status == HARDY_OK) {
        c->options->result(c->options->ctx, kept, what, detail);
    }
}

/* --- the disk --------------------------------------------------------------------------------- */

/* The median of what one write and its sync take, as the disk itself has it; 0 = cannot be written.
 */
static int64_t sync_takes(struct check *c) {
    static char block[4096];
    int64_t spans[COMMITS];
    char *path = world_path(&c->world, "floor");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    size_t n = 0;
    for (; fd >= 0 && n < COMMITS; n++) {
        int64_t began = loop_clock(c->world.loop);
        if (pwrite(fd, block, sizeof block, 0) != (ssize_t)sizeof block || fdatasync(fd) != 0) {
            break;
        }
        int64_t span = loop_clock(c->world.loop) - began;
        size_t at = n;
        for (; at > 0 && spans[at - 1] > span; at--) {
            spans[at] = spans[at - 1];
        }
        spans[at] = span;
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return n == COMMITS ? spans[COMMITS / 2] : 0;
}

static void check_commits(struct check *c, struct store *store) {
    hardy_error error;
    hardy_status status = HARDY_OK;
    uint64_t before = syncs_count();
    int waited = 0, done = 0;
    hardy_error_init(&error, sizeof error);
    for (; done < COMMITS && status == HARDY_OK; done++) {
        char key[16];
        snprintf(key, sizeof key, "%d", done);
        struct store_op op = {
            .kind = STORE_PUT, .row_kind = "selftest", .key = key, .value = "{}", .len = 2};
        uint64_t synced = syncs_count();
        status = store_apply(store, &op, 1, clock_now() + 10 * HARDY_SECOND, NULL, &error);
        waited += syncs_count() > synced;
    }
    int64_t takes = sync_takes(c);
    bool kept = status == HARDY_OK && waited == COMMITS && takes > 0;
    tell(c, kept, "a commit waits until the disk says that it is written",
         "%s%d commits, %d syncs; a sync takes %.3f ms here%s",
         status == HARDY_OK ? "" : error.message, done, (int)(syncs_count() - before),
         (double)takes / (double)HARDY_MILLISECOND,
         takes > 0 && takes < 20 * HARDY_MICROSECOND
             ? ", which no disk is as fast as: this one may forget at a power cut"
             : "");
}

static void check_store(struct check *c) {
    struct buf text;
    struct store *store = NULL;
    hardy_error error;
    char *path = world_path(&c->world, "disk.db");
    struct store_options options = {
        .path = path, .create = true, .purpose = "selftest", .vfs = SYNCS_VFS};
    hardy_error_init(&error, sizeof error);
    buf_init(&text, 1 << 20);
    if (!path || store_open(&options, &store, &error) != HARDY_OK) {
        tell(c, false, "a state can be made here", "%s: %s", error.where, error.message);
        free(path);
        return;
    }
    json_t *o = NULL;
    if (store_describe(store, true, &text, &error) == HARDY_OK) {
        o = json_loadb(text.data, text.len, 0, NULL);
    }
    const json_t *value = json_object_get(o, "synchronous");
    const char *word = json_string_value(value),
               *whole = json_string_value(json_object_get(o, "integrity"));
    bool full = json_is_string(value) ? str_eq(word, "full") : json_integer_value(value) == 2;
    tell(c, full && str_eq(whole, "ok"),
         "the state asks for each commit to be synced, and is whole",
         "synchronous read back as %s, integrity: %s",
         word   ? word
         : full ? "2"
                : "another value",
         whole ? whole : "not told");
    check_commits(c, store);
    json_decref(o);
    buf_free(&text);
    store_close(store);
    free(path);
}

/* --- locks and clocks ------------------------------------------------------------------------- */

static void check_locks(struct check *c) {
    static const char *const words[] = {PART_COMMAND, "lock", "lock", NULL};
    char *path = world_path(&c->world, "lock");
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int fd = path ? lock_open(path, &error) : -1;
    int held = -1, given = -1;
    if (fd >= 0 && lock_try(fd, 0, &error) == HARDY_OK) {
        held = world_run(&c->world, words, NULL, NULL, "out");
        lock_release(fd, 0);
        given = world_run(&c->world, words, NULL, NULL, "out");
    }
    bool kept = held == 1 && given == 0;
    tell(c, kept, "locks of two processes exclude one another on this file system", "%s",
         kept               ? ""
         : error.message[0] ? error.message
         : held == 0        ? "a second process got a lock that was held"
                            : "a lock that was given back was not to be had");
    if (fd >= 0) {
        close(fd);
    }
    free(path);
}

static void check_clock(struct check *c) {
    struct buf text;
    char boot[37];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, 256);
    hardy_status status = file_read("/proc/uptime", &text, &error);
    buf_putc(&text, '\0');
    double since_boot = status == HARDY_OK && text.data ? strtod(text.data, NULL) : 0;
    double ours = (double)clock_now() / (double)HARDY_SECOND;
    file_boot_id(boot);
    bool kept = since_boot > 0 && ours - since_boot < 2 && since_boot - ours < 2 && boot[0];
    tell(c, kept, "time counts from the boot, sleep of the machine included, and nobody can set it",
         "%.1f s, the kernel says %.1f s; boot %s", ours, since_boot, boot[0] ? boot : "has no id");
    buf_free(&text);
}

/* --- hardy, killed ---------------------------------------------------------------------------- */

static bool is_alive(struct world *w, const void *run) {
    return deed_alive(w, run);
}

static bool has_effect(struct world *w, const void *run) {
    return deed_effects(w, run, NULL, 0) > 0;
}

static bool write_workflow(struct check *c, const char *name, const char *before,
                           const char *after) {
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_printf(&text,
               "name: selftest\nsteps:\n  - {name: s1, in_doubt: ask, run: [\"%s\", " PART_COMMAND
               ", effect, \"%s\", \"%s\"]}\n",
               c->world.program, before, after);
    bool good = world_write(&c->world, name, &text);
    buf_free(&text);
    return good;
}

/* Starts the run, waits until `ready`, and kills it, with all that is below it if `whole`. */
static bool kill_run(struct check *c, const char *file, const char *run,
                     bool (*ready)(struct world *w, const void *ctx), bool whole) {
    const char *const words[] = {"run", file, "--id", run, NULL};
    struct child *child = world_start(&c->world, words, NULL, NULL, "out", "err");
    if (!child) {
        return false;
    }
    bool good = world_wait(&c->world, ready, run);
    if (whole) {
        process_signal_below(getpid(), SIGKILL);
    } else {
        kill(child_pid(child), SIGKILL);
    }
    while (good && !child->ended) {
        world_pause(&c->world, HARDY_MILLISECOND);
    }
    good = good && child->signal == SIGKILL;
    child_free(child);
    return good || world_fail(&c->world, "the command of run %s did not start, or ended", run);
}

static void check_attach(struct check *c) {
    static const char *const words[] = {"run", "live.yaml", "--id", "live", NULL};
    struct buf said;
    buf_init(&said, 1 << 16);
    if (write_workflow(c, "live.yaml", "400000", "0") &&
        kill_run(c, "live.yaml", "live", is_alive, false)) {
        int code = world_run(&c->world, words, NULL, NULL, "out");
        world_read(&c->world, "err", &said);
        buf_putc(&said, '\0');
        int effects = deed_effects(&c->world, "live", NULL, 0);
        bool attached = said.data && strstr(said.data, "attached to it");
        tell(c, code == 0 && effects == 1 && attached,
             "a step goes on when hardy is killed (kill -9), and the same line attaches to it",
             "exit code %d, %s, effects: %d", code, attached ? "attached" : "not attached",
             effects);
    }
    buf_free(&said);
}

static void check_doubt(struct check *c) {
    static const char *const words[] = {"run", "lost.yaml", "--id", "lost", NULL};
    static const char *const show[] = {"workflows", "show", "lost", "--json", NULL};
    if (!write_workflow(c, "lost.yaml", "0", "20000000") ||
        !kill_run(c, "lost.yaml", "lost", has_effect, true) || !world_quiet(&c->world)) {
        return;
    }
    int code = world_run(&c->world, words, NULL, NULL, "out");
    int effects = deed_effects(&c->world, "lost", NULL, 0);
    json_t *o = world_ask(&c->world, show);
    const char *state =
        json_string_value(json_object_get(json_array_get(json_object_get(o, "steps"), 0), "state"));
    tell(c, code == 4 && effects == 1 && str_eq(state, "in_doubt"),
         "a command that was killed is in doubt, shown as such, and not run again",
         "exit code %d, the step is %s, effects: %d", code, state ? state : "?", effects);
    json_decref(o);
}

static void check_replay(struct check *c) {
    const char *const words[] = {"exec",       "--key",  "replayed", "--", c->world.program,
                                 PART_COMMAND, "effect", "0",        "0",  NULL};
    struct buf first, second;
    buf_init(&first, 1 << 16);
    buf_init(&second, 1 << 16);
    int code = world_run(&c->world, words, "replayed", "s1", "first");
    int again = world_run(&c->world, words, "replayed", "s1", "second");
    int effects = deed_effects(&c->world, "replayed", NULL, 0);
    world_read(&c->world, "first", &first);
    world_read(&c->world, "second", &second);
    bool same =
        first.len > 0 && first.len == second.len && memcmp(first.data, second.data, first.len) == 0;
    tell(c, code == 0 && again == 0 && same && effects == 1,
         "a key that is done is not done again: its result comes back byte for byte",
         "exit codes %d and %d, %zu and %zu bytes, effects: %d", code, again, first.len, second.len,
         effects);
    buf_free(&first);
    buf_free(&second);
}

static void check_breaker(struct check *c) {
    static const char *const failing[] = {"exec", "--name", "selftest", "--failure-threshold",
                                          "2",    "--",     "false",    NULL};
    const char *const words[] = {"exec",
                                 "--name",
                                 "selftest",
                                 "--failure-threshold",
                                 "2",
                                 "--",
                                 c->world.program,
                                 PART_COMMAND,
                                 "effect",
                                 "0",
                                 "0",
                                 NULL};
    int first = world_run(&c->world, failing, NULL, NULL, "out");
    int second = world_run(&c->world, failing, NULL, NULL, "out");
    int third = world_run(&c->world, words, "refused", "s1", "out");
    int effects = deed_effects(&c->world, "refused", NULL, 0);
    tell(c, first == 1 && second == 1 && third == 69 && effects == 0,
         "a breaker opens at its threshold for all processes, and what it refuses is not run",
         "exit codes %d, %d, %d; effects: %d", first, second, third, effects);
}

hardy_status promises_check(const struct promises_options *options, hardy_error *error) {
    static void (*const checks[])(struct check * c) = {
        check_store, check_locks,  check_clock,   check_attach,
        check_doubt, check_replay, check_breaker,
    };
    struct check c = {.options = options};
    syncs_begin();
    world_begin(&c.world, options->loop, options->program, options->dir, options->env,
                (uint64_t)loop_wall(options->loop));
    for (size_t i = 0; i < sizeof checks / sizeof *checks && c.world.status == HARDY_OK; i++) {
        checks[i](&c);
    }
    hardy_status status = c.world.status;
    if (status != HARDY_OK) {
        fail(error, status, c.world.error.where, "%s", c.world.error.message);
    }
    world_end(&c.world, false);
    return status;
}
