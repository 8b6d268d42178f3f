/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy pause` and `hardy resume`: hands off, written into the state, daemon or not. */
#include "durable/pause.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/hands_off.h"
#include "cli/resolving.h"
#include "cli/say.h"
#include "cli/session.h"
#include "supervise/targets.h"
#include <stdio.h>
#include <unistd.h>

#define WITHIN (10 * HARDY_SECOND)
#define TEXT_MAX ((size_t)4 << 20)

enum { OPT_FOR = 1, OPT_REASON, OPT_FORCE };

static const struct option_row pause_rows[] = {
    {OPT_FOR, "for", 0, "DURATION", "such as 2h; without it until it is resumed"},
    {OPT_REASON, "reason", 0, "TEXT", "told wherever the pause is"},
    {OPT_FORCE, "force", 0, NULL, "also a name that the configuration does not know"},
    {0},
};

struct asked {
    const char *target;
    const char *reason;
    int64_t span; /* 0 = until it is resumed */
    bool force;
};

static hardy_status set(const struct session *s, const struct asked *asked, hardy_error *error) {
    char who[96];
    int64_t wall = clock_wall();
    const struct pause p = {.target = (char *)(uintptr_t)asked->target,
                            .who = (char *)(uintptr_t)resolving_who(who),
                            .reason = (char *)(uintptr_t)asked->reason,
                            .at = wall,
                            .until = asked->span ? time_add(wall, asked->span) : 0};
    hardy_status status =
        asked->force ? HARDY_OK : target_check(s->state.config, asked->target, error);
    if (status == HARDY_E_NOT_FOUND) {
        return fail(error, HARDY_E_INVALID, s->state.config->path, "%s; --force pauses it anyway",
                    error->message);
    }
    return status == HARDY_OK ? pause_set(s->store, &p, time_add(clock_now(), WITHIN), error)
                              : status;
}

static hardy_status clear(const struct session *s, const struct asked *asked, hardy_error *error) {
    char who[96];
    return pause_clear(s->store, asked->target, resolving_who(who), clock_wall(),
                       time_add(clock_now(), WITHIN), error);
}

/* What is paused now, with what this command has changed. */
static hardy_status print(const struct options *o, const struct session *s, hardy_error *error) {
    size_t count = 0;
    if (!o->globals.json) {
        hardy_status status =
            print_hands_off(s, options_color(&o->globals, STDOUT_FILENO), &count, error);
        if (status == HARDY_OK && count == 0) {
            printf("nothing is paused\n");
        }
        return status;
    }
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_key(&j, "paused");
    hardy_status status = json_hands_off(s, &j, error);
    json_out_object_end(&j);
    if (status == HARDY_OK) {
        printf("%s\n", text.data ? text.data : "");
    }
    buf_free(&text);
    return status;
}

static int change(const struct options *o, struct asked *asked,
                  hardy_status (*fn)(const struct session *s, const struct asked *asked,
                                     hardy_error *error)) {
    struct session s;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (o->argc > 1) {
        return options_wrong(o, "one TARGET or none, not %d", o->argc);
    }
    asked->target = o->argc > 0 ? o->argv[0] : PAUSE_EVERYTHING;
    int code = session_open(o, SESSION_WRITE, o->self->name, &s);
    if (code == EXIT_DONE) {
        hardy_status status = fn(&s, asked, &error);
        if (status == HARDY_OK) {
            status = print(o, &s, &error);
        }
        if (status != HARDY_OK) {
            say_error(o, &error);
            code = session_exit(status);
        }
    }
    session_close(&s);
    return code;
}

static int run_pause(struct options *o) {
    struct asked asked = {0};
    hardy_error error;
    int id;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0) {
        if (id == OPT_REASON) {
            asked.reason = o->value;
        } else if (id == OPT_FORCE) {
            asked.force = true;
        } else if (parse_duration(o->value, &asked.span, &error) != HARDY_OK) {
            return options_wrong(o, "--for: %s", error.message);
        } else if (asked.span == 0) {
            return options_wrong(o, "--for: a duration above 0; hardy resume ends a pause%s", "");
        }
    }
    return id < 0 ? o->exit : change(o, &asked, set);
}

static int run_resume(struct options *o) {
    struct asked asked = {0};
    int id;
    while ((id = options_next(o)) > 0) {
    }
    return id < 0 ? o->exit : change(o, &asked, clear);
}

const struct command command_pause = {
    .name = "pause",
    .synopsis = "[TARGET] [--for 2h] [--reason TEXT] [--force]",
    .summary = "hands off: no automatic repair of a target for a while",
    .details =
        "TARGET is a service, a child, a fail-over, or SERVICE/ACTION for one of a service's "
        "remedies; without it everything is paused. hardy goes on watching, and pages nobody. What "
        "is "
        "under way is not stopped. A later pause of a target replaces the one before.\n\n"
        "It is written into the state and holds for every hardy that uses it, now and after a "
        "restart. Windows that come again are written under `maintenance:` in the configuration. "
        "What is printed is all that is paused now; hardy status shows it too.",
    .examples = "hardy pause --for 2h --reason 'new disks'\nhardy pause --json\n"
                "hardy pause web    # needs a configuration with it",
    .options = pause_rows,
    .run = run_pause,
};

const struct command command_resume = {
    .name = "resume",
    .synopsis = "[TARGET]",
    .summary = "ends a pause; automatic repair goes on",
    .details = "TARGET as it was given to hardy pause; without it the pause of everything, which "
               "leaves those of single targets as they are. What is still paused is printed.",
    .examples = "hardy resume\nhardy resume web    # needs a pause of it",
    .run = run_resume,
};
