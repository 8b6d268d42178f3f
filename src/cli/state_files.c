/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy state`: the state as a whole is backed up, put back, copied, packed. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/state.h"
#include "cli/unfinished.h"
#include "durable/blob.h"
#include "io/file.h"
#include "store/upkeep.h"
#include "work/retain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX ((size_t)8 << 20)
#define COMPACT_WAIT HARDY_MINUTE

enum { OPT_FORCE = 1 };

static const struct option_row rows[] = {
    {OPT_FORCE, "force", 0, NULL, "backup: over a file that is there"},
    {0},
};

struct work {
    const struct options *o;
    const char *state; /* its path */
    bool force;
    struct buf text; /* the answer as JSON */
    struct json_out json;
    hardy_error error;
};

static uint64_t size_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static hardy_status open_reading(const char *path, struct store **out, hardy_error *error) {
    const struct store_options options = {.path = path, .read_only = true, .purpose = "state"};
    return store_open(&options, out, error);
}

struct counting {
    struct json_out *json;
    uint64_t rows;
};

static bool count_kind(void *ctx, const char *kind, uint64_t count) {
    struct counting *c = ctx;
    c->rows += count;
    json_out_member_count(c->json, kind, count);
    return true;
}

/* "rows" of the answer; how many there are. */
static hardy_status tell_rows(struct work *w, struct store *store, uint64_t *count) {
    struct counting c = {.json = &w->json};
    json_out_key(&w->json, "rows");
    json_out_object(&w->json);
    hardy_status status = store_each_kind(store, count_kind, &c, &w->error);
    json_out_object_end(&w->json);
    *count = c.rows;
    return status;
}

static hardy_status check_there(const char *path, hardy_error *error) {
    return file_exists(path) ? HARDY_OK
                             : fail(error, HARDY_E_NOT_FOUND, path, "there is no state here");
}

/* --- backup ----------------------------------------------------------------------------------- */

static hardy_status backup(struct work *w, const char *to) {
    struct store *store = NULL;
    struct unfinished_list running = {0};
    uint64_t count = 0, blobs = 0;
    hardy_status status = check_there(w->state, &w->error);
    /* What a row names was there before the row: so those of before and of after are all. */
    if (status == HARDY_OK && file_exists(to) && !w->force) {
        status = HARDY_E_EXISTS;
    }
    if (status == HARDY_OK) {
        status = blob_copy_all(w->state, to, &blobs, &w->error);
    }
    if (status == HARDY_OK) {
        status = store_backup(w->state, to, w->force, &w->error);
    }
    if (status == HARDY_OK) {
        status = blob_copy_all(w->state, to, &blobs, &w->error);
    }
    if (status == HARDY_E_EXISTS) {
        return fail(&w->error, status, to, "is there already; --force writes over it");
    }
    if (status == HARDY_OK) {
        status = open_reading(to, &store, &w->error);
    }
    json_out_member_string(&w->json, "state", w->state);
    json_out_member_string(&w->json, "backup", to);
    json_out_member_count(&w->json, "bytes", size_of(to));
    if (status == HARDY_OK) {
        status = tell_rows(w, store, &count);
    }
    if (status == HARDY_OK) {
        status = unfinished_find(store, &running, &w->error);
    }
    if (status == HARDY_OK) { /* those that only a backup of before names */
        const struct retain_world there = {.store = store, .state = to};
        struct retain_report swept;
        status = leftovers_blobs(&there, clock_wall(), &swept, &w->error);
    }
    json_out_member_count(&w->json, "results", blobs);
    json_out_key(&w->json, "running");
    unfinished_to_json(&running, &w->json);
    if (status == HARDY_OK && !w->o->globals.json) {
        printf("%s: %llu rows, %llu bytes\n", to, (unsigned long long)count,
               (unsigned long long)size_of(to));
        if (running.total > 0) {
            say(w->o, HARDY_LOG_INFO,
                "%zu were running or in doubt at that moment; a state that is put back from this "
                "backup asks about them",
                running.total);
        }
    }
    unfinished_free(&running);
    store_close(store);
    return status;
}

/* --- restore ---------------------------------------------------------------------------------- */

static void tell_restored(struct work *w, const struct unfinished_list *running,
                          const struct unfinished_list *unknown, bool compared) {
    json_out_key(&w->json, "running");
    unfinished_to_json(running, &w->json);
    json_out_key(&w->json, "unknown");
    if (compared) {
        unfinished_to_json(unknown, &w->json);
    } else {
        json_out_null(&w->json);
    }
    if (running->total > 0) {
        say(w->o, HARDY_LOG_WARNING,
            "%zu were running or in doubt when the backup was made; how they ended is not known "
            "here, and is asked when they are taken up again:",
            running->total);
        unfinished_print(running);
    }
    if (unknown->total > 0) {
        say(w->o, HARDY_LOG_WARNING,
            "%zu were started after the backup and are unknown to the state now: they are in "
            "doubt, and would be done again under the same key:",
            unknown->total);
        unfinished_print(unknown);
    } else if (!compared) {
        say(w->o, HARDY_LOG_WARNING,
            "what was started after the backup is unknown to the state now, and cannot be told: "
            "each such action is in doubt, and would be done again under the same key");
    }
}

/* What the state that was replaced knows more of; false = it cannot be read. */
static bool compare(struct store *store, const char *kept, struct unfinished_list *unknown) {
    struct store *old = NULL;
    hardy_error ignored;
    hardy_error_init(&ignored, sizeof ignored);
    bool read = open_reading(kept, &old, &ignored) == HARDY_OK &&
                unfinished_since(store, old, unknown, &ignored) == HARDY_OK;
    store_close(old);
    return read;
}

static hardy_status restore(struct work *w, const char *from) {
    struct store *store = NULL;
    struct unfinished_list running = {0}, unknown = {0};
    char kept[4200];
    uint64_t count = 0, blobs = 0;
    bool compared = true;
    hardy_status status = file_exists(from) ? store_verify(from, &w->error) : HARDY_E_NOT_FOUND;
    if (status == HARDY_E_NOT_FOUND) {
        return fail(&w->error, status, from, "there is no backup here, or an empty file");
    }
    if (status == HARDY_OK) {
        status = file_make_parent(w->state, &w->error);
    }
    if (status == HARDY_OK) {
        status = blob_copy_all(from, w->state, &blobs, &w->error);
    }
    if (status == HARDY_OK) {
        status = store_restore(from, w->state, kept, sizeof kept, &w->error);
    }
    if (status == HARDY_OK) {
        status = open_reading(w->state, &store, &w->error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    json_out_member_string(&w->json, "state", w->state);
    json_out_member_string(&w->json, "backup", from);
    json_out_member_string(&w->json, "kept", kept[0] ? kept : NULL);
    status = tell_rows(w, store, &count);
    if (status == HARDY_OK) {
        status = unfinished_find(store, &running, &w->error);
    }
    if (status == HARDY_OK) {
        compared = kept[0] && compare(store, kept, &unknown);
        if (!w->o->globals.json) {
            printf("%s: %llu rows, from %s\n", w->state, (unsigned long long)count, from);
        }
        if (kept[0]) {
            say(w->o, HARDY_LOG_INFO, "what was there before is %s", kept);
        }
        tell_restored(w, &running, &unknown, compared);
    }
    unfinished_free(&running);
    unfinished_free(&unknown);
    store_close(store);
    return status;
}

/* --- copy ------------------------------------------------------------------------------------- */

static hardy_status check_place(const char *place, hardy_error *error) {
    if (str_eq(place, "memory")) {
        return fail(error, HARDY_E_UNSUPPORTED, place,
                    "what is in memory ends with its process: there is nothing to copy");
    }
    return strstr(place, "://") ? fail(error, HARDY_E_UNSUPPORTED, place,
                                       "only files are understood, such as hardy.db")
                                : HARDY_OK;
}

/* What this command made is taken away again. */
static void remove_copy(const char *to) {
    static const char *const endings[] = {"", "-wal", "-shm", "-lock"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *name = str_format("%s%s", to, endings[i]);
        hardy_status ignored = name ? file_remove(name, NULL) : HARDY_OK;
        (void)ignored;
        free(name);
    }
}

static hardy_status copy(struct work *w, const char *from, const char *to) {
    struct store *source = NULL, *target = NULL;
    struct store_copied copied = {0};
    uint64_t blobs = 0;
    bool made = !file_exists(to);
    const struct store_options options = {.path = to, .create = true, .purpose = "state copy"};
    hardy_status status = check_place(from, &w->error);
    if (status == HARDY_OK) {
        status = check_place(to, &w->error);
    }
    if (status == HARDY_OK) {
        status = check_there(from, &w->error);
    }
    if (status == HARDY_OK) {
        status = open_reading(from, &source, &w->error);
    }
    if (status == HARDY_OK) { /* a copy of what goes on changing would be of no moment at all */
        status = store_check_unused(from, &w->error);
    }
    if (status == HARDY_OK) {
        status = file_make_parent(to, &w->error);
    }
    if (status == HARDY_OK) {
        status = store_open(&options, &target, &w->error);
    }
    if (status == HARDY_OK) {
        status = blob_copy_all(from, to, &blobs, &w->error);
    }
    if (status == HARDY_OK) {
        status = store_copy(source, target, &copied, &w->error);
        if (status != HARDY_OK && !w->error.where[0]) {
            str_copy(w->error.where, sizeof w->error.where, to);
        }
    }
    store_close(source);
    store_close(target);
    if (target && status != HARDY_OK && made) {
        remove_copy(to);
    }
    json_out_member_string(&w->json, "from", from);
    json_out_member_string(&w->json, "to", to);
    json_out_member_count(&w->json, "rows", copied.rows);
    json_out_member_count(&w->json, "bytes", copied.bytes);
    if (status == HARDY_OK && !w->o->globals.json) {
        printf("%s: %llu rows with %llu bytes, compared with %s\n", to,
               (unsigned long long)copied.rows, (unsigned long long)copied.bytes, from);
    }
    return status;
}

/* --- compact ---------------------------------------------------------------------------------- */

static hardy_status compact(struct work *w) {
    uint64_t before = size_of(w->state);
    hardy_status status = check_there(w->state, &w->error);
    if (status == HARDY_OK) {
        status = store_compact(w->state, COMPACT_WAIT, &w->error);
    }
    uint64_t after = size_of(w->state);
    json_out_member_string(&w->json, "state", w->state);
    json_out_member_count(&w->json, "bytes_before", before);
    json_out_member_count(&w->json, "bytes", after);
    if (status == HARDY_OK && !w->o->globals.json) {
        printf("%s: %llu bytes, before %llu\n", w->state, (unsigned long long)after,
               (unsigned long long)before);
    }
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

enum verb { BACKUP, RESTORE, COPY, COMPACT, VERBS };

static int act(const struct options *o, enum verb verb, bool force) {
    struct state state = {0};
    struct work w = {.o = o, .force = force};
    bool misconfigured = false;
    hardy_status status = HARDY_OK;
    hardy_error_init(&w.error, sizeof w.error);
    buf_init(&w.text, TEXT_MAX);
    json_out_init(&w.json, &w.text, 2);
    json_out_object(&w.json);
    if (verb != COPY) {
        status = state_find(o, &state, &w.error);
        misconfigured = status != HARDY_OK;
        if (status == HARDY_OK) {
            status = check_place(state.path, &w.error);
        }
        w.state = state.path;
    }
    if (status == HARDY_OK) {
        status = verb == BACKUP    ? backup(&w, o->argv[1])
                 : verb == RESTORE ? restore(&w, o->argv[1])
                 : verb == COPY    ? copy(&w, o->argv[1], o->argv[2])
                                   : compact(&w);
    }
    json_out_object_end(&w.json);
    if (status == HARDY_OK && o->globals.json) {
        puts(w.text.data ? w.text.data : "{}");
    }
    if (status != HARDY_OK) {
        say_error(o, &w.error);
    }
    buf_free(&w.text);
    state_close(&state);
    if (misconfigured || status == HARDY_E_UNSUPPORTED) {
        return EXIT_USAGE;
    }
    return status == HARDY_OK ? EXIT_DONE : EXIT_FAILED;
}

static int run(struct options *o) {
    static const char *const verbs[] = {"backup", "restore", "copy", "compact"};
    static const int operands[] = {2, 2, 3, 1};
    static const char *const wanted[] = {"one FILE", "one FILE", "FROM and TO", "nothing more"};
    bool force = false;
    int id, verb = BACKUP;
    while ((id = options_next(o)) > 0) {
        force |= id == OPT_FORCE;
    }
    if (id < 0) {
        return o->exit;
    }
    while (verb < VERBS && (o->argc == 0 || !str_eq(o->argv[0], verbs[verb]))) {
        verb++;
    }
    if (verb == VERBS) {
        return options_wrong(o,
                             "one of backup FILE, restore FILE, copy FROM TO, compact is "
                             "needed%s%s",
                             o->argc ? ", not " : "", o->argc ? o->argv[0] : "");
    }
    if (o->argc != operands[verb]) {
        return options_wrong(o, "%s takes %s", verbs[verb], wanted[verb]);
    }
    if (force && verb != BACKUP) {
        return options_wrong(o, "--force goes with backup");
    }
    return act(o, (enum verb)verb, force);
}

const struct command command_state = {
    .name = "state",
    .alias = "states",
    .synopsis = "backup FILE [--force]\nrestore FILE\ncopy FROM TO\ncompact",
    .summary = "back the state up, put it back, copy it, make its file smaller",
    .details =
        "backup writes the state as it is at one moment into one file, while others go on "
        "writing. restore looks through FILE and puts a copy of it in the place of the state; what "
        "was there is kept beside it. It refuses while a process has the state open, and tells "
        "which actions the backup cannot know the end of.\n\n"
        "copy puts every row of one state into another, which must be empty, and compares them. "
        "compact writes the file anew without the free space in it, while other writers wait: a "
        "state made by an older hardy does not give space back by itself until this was done once.",
    .examples = "hardy state backup /var/backups/hardy.db    # needs a state, and that folder\n"
                "hardy state restore /var/backups/hardy.db    # needs that backup\n"
                "hardy state copy hardy.db /srv/hardy.db    # needs a state there\n"
                "hardy state compact    # needs a state",
    .options = rows,
    .run = run,
};
