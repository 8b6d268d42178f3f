/* SPDX-License-Identifier: Apache-2.0 */
/* What `hardy serve` does besides serving, when the configuration says so: incidents, healing,
 * children, fail-over. Without any of them it only runs the checks, which needs no state. */
#include "base/log.h"
#include "base/str.h"
#include "daemon/inside.h"
#include "io/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what happens, as log lines ----------------------------------------------------------------
 */

static bool is_bad(const char *what) {
    static const char *const words[] = {"escalated", "in doubt", "died",     "not verified",
                                        "gave up",   "warned",   "proposed", "held up"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_eq(what, words[i])) {
            return true;
        }
    }
    return false;
}

static void on_told(void *ctx, const char *subject, const char *incident, int64_t wall,
                    const char *what, const char *detail) {
    (void)ctx;
    (void)wall;
    log_event(is_bad(what) ? HARDY_LOG_WARNING : HARDY_LOG_INFO, what, "about", subject, "detail",
              detail, incident ? "incident" : NULL, incident, NULL);
}

static void on_paged(void *ctx, const char *target, const char *dedup_key) {
    (void)ctx;
    log_event(HARDY_LOG_INFO, "a page was taken", "by", target, "about", dedup_key, NULL);
}

static void on_page_failed(void *ctx, const char *target, const char *why, bool again) {
    (void)ctx;
    log_event(HARDY_LOG_WARNING, "a page was not taken", "by", target, "why", why, "kept",
              again ? "sent again" : "offered once more at the next start", NULL);
}

static void on_watched(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    (void)ctx;
    (void)i;
    if (error) {
        log_event(HARDY_LOG_ERROR, "nothing is watched any more; restart hardy", "why",
                  error->message, NULL);
    }
    if (unsent) {
        log_event(HARDY_LOG_WARNING, "a page waits in the outbox for the next start", NULL);
    }
}

static void on_health(void *ctx, const struct health *health) {
    struct daemon *d = ctx;
    d->known = health;
    d->view.health = health;
}

static void on_gone(void *ctx) {
    struct daemon *d = ctx;
    d->supervision = NULL;
    on_health(d, d->health);
    if (d->supervision_gone) {
        d->supervision_gone(d);
    }
}

/* --- beginning, again, end -----------------------------------------------------------------------
 */

static bool has_work(const struct supervision_settings *s) {
    return incident_service_count(&s->incidents) + s->children.count + s->fail_overs.count > 0;
}

static void first_problem(void *ctx, const hardy_error *problem) {
    hardy_error *first = ctx;
    if (first->status == HARDY_OK) {
        *first = *problem;
    }
}

static hardy_status read_settings(const struct daemon *d, const struct config *config,
                                  struct supervision_settings *s, hardy_error *error) {
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    hardy_status status = supervision_read(config, d->options.state, s, error);
    if (status == HARDY_OK && supervision_check(config, s, first_problem, &problem) > 0) {
        status = problem.status;
        if (error) {
            *error = problem;
        }
    }
    return status;
}

hardy_status daemon_supervise(struct daemon *d, const struct config *config, hardy_error *error) {
    static const struct supervision_events events = {.checked = daemon_checked,
                                                     .told = on_told,
                                                     .paged = on_paged,
                                                     .page_failed = on_page_failed,
                                                     .health = on_health,
                                                     .watched = on_watched,
                                                     .gone = on_gone};
    struct supervision_settings s;
    if (d->options.companion) {
        return HARDY_OK;
    }
    hardy_status status = read_settings(d, config, &s, error);
    if (status == HARDY_OK && has_work(&s) && (!d->store || !d->options.state)) {
        log_event(HARDY_LOG_ERROR, "nothing is healed, supervised or failed over", "why",
                  d->options.state && d->store_problem ? d->store_problem
                                                       : "it needs a state that is a file",
                  NULL);
    } else if (status == HARDY_OK && has_work(&s)) {
        d->folder = d->folder ? d->folder : file_folder(config->path ? config->path : "");
        snprintf(d->self, sizeof d->self, "hardy serve, pid %d", (int)getpid());
        d->inside = (struct remedy_inside){d, remedies_act};
        const struct supervision_options options = {.loop = d->loop,
                                                    .store = d->store,
                                                    .state = d->options.state,
                                                    .cwd = d->folder,
                                                    .self = d->self,
                                                    .env = d->options.env,
                                                    .client = d->client,
                                                    .inside = &d->inside};
        status = supervision_start(&options, &s, &events, d, &d->supervision, error);
    }
    supervision_settings_free(&s);
    return status;
}

hardy_status daemon_supervise_again(struct daemon *d, const struct config *config,
                                    hardy_error *error) {
    struct supervision_settings s;
    if (!d->supervision) {
        return daemon_supervise(d, config, error);
    }
    hardy_status status = read_settings(d, config, &s, error);
    if (status == HARDY_OK) {
        supervision_reload(d->supervision, &s);
    } else {
        supervision_settings_free(&s);
    }
    return status;
}

bool daemon_supervise_end(struct daemon *d, void (*gone)(struct daemon *d)) {
    if (!d->supervision) {
        return true;
    }
    d->supervision_gone = gone;
    supervision_stop(d->supervision);
    return false;
}

/* --- the API ------------------------------------------------------------------------------------
 */

void supervise_put(const struct daemon *d, struct json_out *j) {
    const struct children *children = d->supervision ? supervision_children(d->supervision) : NULL;
    const struct fail_over *f = d->supervision ? supervision_fail_over(d->supervision) : NULL;
    json_out_key(j, "children");
    if (children) {
        children_to_json(children, j);
    } else {
        json_out_array(j);
        json_out_array_end(j);
    }
    json_out_key(j, "fail_over");
    if (f) {
        fail_over_to_json(f, j);
    } else {
        json_out_array(j);
        json_out_array_end(j);
    }
}

void supervise_write_metrics(const struct daemon *d, struct exposition *x) {
    if (d->supervision) {
        supervision_write_metrics(d->supervision, x);
    }
}
