/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/inside.h"
#include "daemon/token.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_EVERY HARDY_SECOND
#define LAST_ANSWERS (500 * HARDY_MILLISECOND) /* of the admin listener */
#define LAST_WRITES (2 * HARDY_SECOND)         /* of the store, before it is closed */
/* Behind `drain`, should something that ought to have ended not have. */
#define END_AT_LAST (8 * HARDY_SECOND)
#define LAST_TURNS 8 /* for sockets that are being closed */

struct gateway *daemon_gateway(const struct daemon *d) {
    return d->gateway;
}

void daemon_admin_address(const struct daemon *d, struct http_authority *out) {
    *out = d->admin_address;
}

const char *daemon_objection(void *ctx) {
    const struct daemon *d = ctx;
    bool ill = d->state_needed && d->store && store_health(d->store, NULL) != HARDY_OK;
    return d->draining      ? "hardy is shutting down"
           : ill            ? "the state cannot be written, and on_state_error says refuse"
           : d->supervision ? supervision_objection(d->supervision)
                            : NULL;
}

/* --- the token ------------------------------------------------------------------------------- */

/* The one that the configuration names, else the one beside the run-time folder or the state. */
static void take_token(struct daemon *d) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    char *token = NULL;
    hardy_status status = HARDY_OK;
    if (d->admin.token) {
        token = str_dup(d->admin.token);
    } else if (d->options.token) {
        status = token_take(d->options.token, &token, &why);
    } else {
        status = fail(&why, HARDY_E_NOT_FOUND, NULL,
                      "no place for a token: neither XDG_RUNTIME_DIR nor RUNTIME_DIRECTORY is set, "
                      "and the state is no file");
    }
    if (status != HARDY_OK) {
        log_event(HARDY_LOG_WARNING, "nothing can be changed through the admin API", "why",
                  why.message, "file", d->options.token ? d->options.token : "-", NULL);
    }
    free(d->token);
    d->token = token;
}

/* --- checks ----------------------------------------------------------------------------------- */

void daemon_checked(void *ctx, const struct check_settings *c, const struct check_state *s,
                    bool changed) {
    (void)ctx;
    if (changed) {
        log_event(s->level == LEVEL_DOWN ? HARDY_LOG_WARNING : HARDY_LOG_INFO, "check", "name",
                  c->name, "level", check_level_text(s->level), "message", s->message, NULL);
    }
    if (s->flap_turned) {
        log_event(s->flapping ? HARDY_LOG_WARNING : HARDY_LOG_INFO, "check", "name", c->name,
                  "flapping", s->flapping ? "yes" : "no", "message", s->message, NULL);
    }
}

/* `checks` are taken when it succeeds. */
static hardy_status start_checks(struct daemon *d, struct schema_list *checks, hardy_error *error) {
    static const struct health_events events = {daemon_checked};
    checks_use_state(checks, d->options.state);
    struct health *health = health_start(d->loop, d->client, checks, &events, d, error);
    if (!health) {
        return HARDY_E_NOMEM;
    }
    if (d->health) {
        health_take_over(health, d->health);
        health_stop(d->health);
    }
    checks_free(&d->checks);
    d->checks = *checks;
    *checks = (struct schema_list){0};
    d->health = health;
    d->known = health;
    d->view.health = health;
    return HARDY_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* What to do about an address that is taken. */
static hardy_status listening(hardy_status status, const char *what, const char *how,
                              hardy_error *error) {
    if (status != HARDY_E_EXISTS || !error) {
        return status;
    }
    char where[sizeof error->where];
    str_copy(where, sizeof where, error->where);
    return fail(error, HARDY_E_EXISTS, where,
                "the %s cannot listen there: the address is in use, perhaps by another hardy serve "
                "('hardy status' tells); end that one, or choose another address: %s",
                what, how);
}

/* A port that is taken is none of a companion's business: any other will do. */
static hardy_status open_gateway(struct daemon *d, const struct config *config,
                                 struct gateway_settings *settings, hardy_error *error) {
    hardy_status status = gateway_open(d->loop, config, settings, d->host, &d->gateway, error);
    if (status == HARDY_E_EXISTS && d->options.companion) {
        status = gateway_settings_read(config, settings, error);
        settings->address.port = 0;
        if (status == HARDY_OK) {
            return gateway_open(d->loop, config, settings, d->host, &d->gateway, error);
        }
    }
    return listening(status, "gateway", "--listen or gateway.listen", error);
}

static hardy_status open_admin(struct daemon *d, hardy_error *error) {
    struct http_authority address = d->admin.address;
    hardy_status status = admin_open(d, &address, error);
    if (status == HARDY_E_EXISTS && d->options.companion) {
        address.port = 0;
        status = admin_open(d, &address, error);
    }
    return listening(status, "admin API", "--admin or admin.listen", error);
}

static hardy_status open_health(struct daemon *d, const struct config *config,
                                struct schema_list *checks, hardy_error *error) {
    struct http_client_options client;
    http_client_options_init(&client);
    if (d->options.companion) {
        return HARDY_OK;
    }
    d->client = http_client_new(d->loop, &client, error);
    hardy_status status = d->client ? daemon_supervise(d, config, error) : HARDY_E_NOMEM;
    if (status == HARDY_OK && !d->supervision) {
        status = start_checks(d, checks, error);
    }
    if (status == HARDY_OK && d->health_settings.listen) {
        status = listening(
            health_serve(d->loop, &d->health_settings, &d->view, &d->health_server, error),
            "health listener", "health.listen", error);
    }
    return status;
}

static hardy_status open_gatherings(struct daemon *d, const struct config *config,
                                    hardy_error *error) {
    struct gatherer *g = NULL;
    hardy_status status = d->options.companion ? HARDY_OK : gather_open(d, config, &g, error);
    if (g) {
        gather_take(d, g);
    }
    return status;
}

static hardy_status open_all(struct daemon *d, const struct config *config, hardy_error *error) {
    struct daemon_settings s;
    const struct daemon_options *o = &d->options;
    hardy_status status = daemon_settings_read(config, o->listen, o->admin, &s, error);
    if (status == HARDY_OK) {
        d->admin = s.admin;
        s.admin = (struct admin_settings){0};
        d->health_settings = s.health;
        s.health = (struct health_settings){0};
        status = daemon_state_open(d, s.on_state_error, error);
    }
    if (status == HARDY_OK) {
        status = open_gateway(d, config, &s.gateway, error);
    }
    if (status == HARDY_OK) {
        take_token(d);
        status = open_admin(d, error);
    }
    if (status == HARDY_OK) {
        status = open_health(d, config, &s.checks, error);
    }
    if (status == HARDY_OK) {
        status = open_gatherings(d, config, error);
    }
    daemon_settings_free(&s);
    return status;
}

static void follow_file(struct daemon *d);

hardy_status daemon_open(const struct daemon_options *options, struct config *config,
                         struct daemon **out, hardy_error *error) {
    struct daemon *d = calloc(1, sizeof *d);
    if (!d) {
        config_free(config);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory");
    }
    d->options = *options;
    d->loop = options->loop;
    d->config = d->first = config;
    d->started_wall = loop_wall(d->loop);
    d->view =
        (struct health_view){.objection = daemon_objection, .metrics = metrics_answer, .ctx = d};
    list_init(&d->followers);
    loop_timer_init(&d->look, NULL, d);
    loop_timer_init(&d->end, NULL, d);
    hardy_status status = open_all(d, config, error);
    if (status != HARDY_OK) { /* what is open already is closed by the loop */
        daemon_drain(d, NULL, NULL);
        daemon_drain(d, NULL, NULL);
        loop_run(d->loop);
        daemon_free(d);
        return status;
    }
    if (options->watch) {
        follow_file(d);
    }
    *out = d;
    return HARDY_OK;
}

/* --- loading again ---------------------------------------------------------------------------- */

static bool same_section(const struct config *a, const struct config *b, const char *section,
                         const char *key) {
    struct buf texts[2];
    const struct config *configs[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        const struct yaml_node *node = config_section(configs[i], section);
        node = key ? yaml_get(node, key) : node;
        buf_init(&texts[i], YAML_MAX_BYTES * 4);
        if (node) {
            yaml_to_json(node, &texts[i]);
        }
    }
    bool same = texts[0].len == texts[1].len && !texts[0].failed && !texts[1].failed &&
                (texts[0].len == 0 || memcmp(texts[0].data, texts[1].data, texts[0].len) == 0);
    buf_free(&texts[0]);
    buf_free(&texts[1]);
    return same;
}

static void tell_what_waits(const struct daemon *d, const struct config *config) {
    static const struct {
        const char *section, *key;
    } fixed[] = {{"gateway", "listen"}, {"gateway", "hosts"},     {"gateway", "max_connections"},
                 {"admin", "listen"},   {"admin", "hosts"},       {"health", NULL},
                 {"state", NULL},       {"on_state_error", NULL}, {"supervise", NULL},
                 {"fail_over", NULL}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (!same_section(d->first, config, fixed[i].section, fixed[i].key)) {
            char name[64];
            snprintf(name, sizeof name, "%s%s%s", fixed[i].section, fixed[i].key ? "." : "",
                     fixed[i].key ? fixed[i].key : "");
            log_event(HARDY_LOG_WARNING, "this change needs a restart", "key", name, NULL);
        }
    }
}

/* What is watched, and what is done about it. */
static hardy_status look_again(struct daemon *d, const struct config *config,
                               struct schema_list *checks, hardy_error *error) {
    static const char *const watched[] = {"checks", "incidents",   "heal",
                                          "notify", "maintenance", "automation"};
    bool same = true;
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) {
        same = same && same_section(d->config, config, watched[i], NULL);
    }
    if (same) {
        return HARDY_OK;
    }
    bool before = d->supervision != NULL;
    hardy_status status = daemon_supervise_again(d, config, error);
    if (status == HARDY_OK && !d->supervision) {
        return start_checks(d, checks, error);
    }
    if (status == HARDY_OK && !before && d->health) { /* they have run on their own until now */
        health_stop(d->health);
        d->health = NULL;
    }
    return status;
}

/* `config` is taken when it succeeds. */
static hardy_status load(struct daemon *d, struct config *config, hardy_error *error) {
    struct daemon_settings s;
    const struct daemon_options *o = &d->options;
    struct gatherer *gatherer = NULL; /* of another configuration */
    hardy_status status = daemon_settings_read(config, o->listen, o->admin, &s, error);
    if (status == HARDY_OK && d->gatherer &&
        (!same_section(d->config, config, "degrade", NULL) ||
         !same_section(d->config, config, "guards", NULL))) {
        status = gather_open(d, config, &gatherer, error);
    }
    if (status == HARDY_OK) {
        status = gateway_reload(d->gateway, config, &s.gateway, error);
    }
    if (status == HARDY_OK) {
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        if (d->client && look_again(d, config, &s.checks, &why) != HARDY_OK) {
            log_event(HARDY_LOG_ERROR, "the checks stay as they were", "where", why.where, "why",
                      why.message, NULL);
        }
        char *token = d->admin.token;
        d->admin.token = s.admin.token;
        s.admin.token = token;
        take_token(d);
        if (gatherer) {
            gather_take(d, gatherer);
            gatherer = NULL;
        }
        tell_what_waits(d, config);
        if (d->config != d->first) {
            config_free(d->config);
        }
        d->config = config;
    }
    gatherer_close(gatherer);
    daemon_settings_free(&s);
    return status;
}

void daemon_reload(struct daemon *d) {
    struct config *config = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (d->draining) {
        return;
    }
    hardy_status status = d->options.load(d->options.ctx, &config, &error);
    if (status == HARDY_OK) {
        status = load(d, config, &error);
        if (status != HARDY_OK) {
            config_free(config);
        }
    }
    if (status == HARDY_OK) {
        log_event(HARDY_LOG_INFO, "configuration loaded", "file",
                  d->config->path ? d->config->path : "-", NULL);
    } else {
        log_event(HARDY_LOG_ERROR, "configuration refused, the old one goes on", "where",
                  error.where, "why", error.message, NULL);
    }
}

/* --- following the file ----------------------------------------------------------------------- */

static struct file_mark mark_of(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return (struct file_mark){0};
    }
    return (struct file_mark){.there = true,
                              .device = (uint64_t)st.st_dev,
                              .inode = (uint64_t)st.st_ino,
                              .size = (int64_t)st.st_size,
                              .changed = (int64_t)st.st_mtim.tv_sec * HARDY_SECOND +
                                         (int64_t)st.st_mtim.tv_nsec};
}

static bool same_mark(const struct file_mark *a, const struct file_mark *b) {
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->changed == b->changed;
}

/* A file that is just being written is left alone until it has not changed for one look: half of it
 * could be a valid one. */
static void on_look(struct loop_timer *timer) {
    struct daemon *d = timer->ctx;
    struct file_mark seen = mark_of(d->first->path);
    bool calm = same_mark(&seen, &d->last);
    if (calm && !same_mark(&seen, &d->tried)) {
        d->tried = seen;
        if (seen.there) {
            daemon_reload(d);
        } else {
            log_event(HARDY_LOG_ERROR, "the configuration file is gone, what was loaded goes on",
                      "file", d->first->path, NULL);
        }
    }
    d->last = seen;
    loop_timer_start(d->loop, timer, time_add(loop_now(d->loop), LOOK_EVERY));
}

static void follow_file(struct daemon *d) {
    const char *path = d->first->path;
    if (!path || str_eq(path, "-")) {
        log_event(HARDY_LOG_WARNING, "there is no configuration file to follow", NULL);
        return;
    }
    d->tried = d->last = mark_of(path);
    loop_timer_init(&d->look, on_look, d);
    loop_timer_start(d->loop, &d->look, time_add(loop_now(d->loop), LOOK_EVERY));
}

/* --- the end ---------------------------------------------------------------------------------- */

static void tell_ended(struct daemon *d) {
    void (*ended)(void *ctx) = d->ended;
    d->ended = NULL;
    if (ended) {
        ended(d->ended_ctx);
    }
}

static void on_turn(struct loop_timer *timer) {
    struct daemon *d = timer->ctx;
    if (d->turns-- > 0) {
        loop_timer_start(d->loop, timer, loop_now(d->loop));
    } else {
        tell_ended(d);
    }
}

static void on_end_at_last(struct loop_timer *timer) {
    struct daemon *d = timer->ctx;
    log_event(HARDY_LOG_ERROR, "not everything has ended in time, leaving it", NULL);
    tell_ended(d);
}

static void turn_and_end(struct daemon *d) {
    d->turns = LAST_TURNS;
    loop_timer_stop(d->loop, &d->end);
    loop_timer_init(&d->end, on_turn, d);
    loop_timer_start(d->loop, &d->end, loop_now(d->loop));
}

/* No listener is left. What the store is still at belongs to requests, if nobody's any more. */
static void close_rest(struct daemon *d) {
    if (d->health) {
        health_stop(d->health);
        d->health = NULL;
    }
    d->known = d->view.health = NULL;
    gatherer_close(d->gatherer);
    d->gatherer = NULL;
    if (d->client) {
        http_client_free(d->client);
        d->client = NULL;
    }
    gateway_free(d->gateway);
    d->gateway = NULL;
    d->calming = d->store_calls > 0;
    if (d->calming) {
        loop_timer_stop(d->loop, &d->end);
        loop_timer_init(&d->end, on_end_at_last, d);
        loop_timer_start(d->loop, &d->end, time_add(loop_now(d->loop), LAST_WRITES));
    } else {
        turn_and_end(d);
    }
}

void daemon_calmed(struct daemon *d) {
    if (d->calming && d->store_calls == 0) {
        d->calming = false;
        turn_and_end(d);
    }
}

static void on_gone(void *ctx) {
    struct daemon *d = ctx;
    if (--d->pending == 0) {
        close_rest(d);
    }
}

static void on_admin_gone(void *ctx) {
    struct daemon *d = ctx;
    d->admin_server = NULL;
    on_gone(d);
}

static void on_health_gone(void *ctx) {
    struct daemon *d = ctx;
    d->health_server = NULL;
    on_gone(d);
}

static void end_listeners(struct daemon *d) {
    d->pending = 1;
    requests_end_followers(d);
    if (d->admin_server) {
        d->pending++;
        http_server_drain(d->admin_server, time_add(loop_now(d->loop), LAST_ANSWERS), on_admin_gone,
                          d);
    }
    if (d->health_server) {
        d->pending++;
        health_server_stop(d->health_server, on_health_gone, d);
    }
    on_gone(d);
}

/* How long the children took is their own matter; the rest has its time from now on. */
static void on_supervision_gone(struct daemon *d) {
    loop_timer_start(d->loop, &d->end, time_add(loop_now(d->loop), END_AT_LAST));
    end_listeners(d);
}

static void on_gateway_drained(void *ctx) {
    struct daemon *d = ctx;
    if (daemon_supervise_end(d, on_supervision_gone)) {
        end_listeners(d);
    } else {
        loop_timer_stop(d->loop, &d->end);
        loop_timer_init(&d->end, on_end_at_last, d);
    }
}

void daemon_drain(struct daemon *d, void (*ended)(void *ctx), void *ctx) {
    if (d->draining) {
        if (d->gateway) {
            gateway_drain(d->gateway, on_gateway_drained, d);
        }
        return;
    }
    d->draining = true;
    d->ended = ended;
    d->ended_ctx = ctx;
    loop_timer_stop(d->loop, &d->look);
    if (!d->gateway) {
        on_gateway_drained(d);
        return;
    }
    int64_t limit = gateway_loaded(d->gateway)->drain;
    loop_timer_init(&d->end, on_end_at_last, d);
    loop_timer_start(d->loop, &d->end, time_add(loop_now(d->loop), time_add(limit, END_AT_LAST)));
    gateway_drain(d->gateway, on_gateway_drained, d);
}

void daemon_free(struct daemon *d) {
    if (!d) {
        return;
    }
    loop_timer_stop(d->loop, &d->end);
    gateway_free(d->gateway); /* only when the end was not waited for */
    kept_close(d->kept);
    daemon_state_close(d);
    checks_free(&d->checks);
    health_settings_free(&d->health_settings);
    admin_settings_free(&d->admin);
    if (d->config != d->first) {
        config_free(d->config);
    }
    config_free(d->first);
    free(d->token);
    free(d->folder);
    free(d);
}
