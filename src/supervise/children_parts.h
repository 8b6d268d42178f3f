/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_CHILDREN_PARTS_H
#define SUPERVISE_CHILDREN_PARTS_H
/* What children.c, which keeps the order among children, and supervised.c, which drives one of
 * them, share. */
#include "durable/batch.h"
#include "supervise/child_log.h"
#include "supervise/child_record.h"
#include "supervise/children.h"

struct children;
struct supervised {
    struct children *all;
    const struct child_settings *s;
    struct child machine;
    struct child_record record;
    bool owned; /* the lock is ours */
    bool told_elsewhere;
    bool renew;  /* to be restarted when those after it have ended */
    bool unwell; /* its check is down */
    bool reloading;
    int lock, socket; /* -1 = none */
    char socket_address[128];
    char *mark;       /* "HARDY_CHILD_ID=TOKEN/NAME/" */
    char command[65]; /* as in the record, of the settings */
    char status[200];
    struct process *process;
    struct process *reload; /* the command */
    struct child_log *log;
    struct loop_watch *socket_watch;
    struct check_settings tcp;
    struct check_probe *probe;
    struct loop_timer timer; /* the machine's */
    struct loop_timer look;  /* at what nobody tells: a lock, a port, whether all of it has ended */
    int64_t look_pause;
    struct batch batch;
    bool dirty, refused; /* the record has to be written again; the store did not take it */
    const char *page;    /* "trigger", "resolve": to be written with the record; NULL = none */
    char page_summary[400];
    const char *page_under_way; /* as `page` */
    struct loop_timer again;    /* to write it when the store has refused it */
    char why_off[320];          /* why it is left alone */
};
struct children {
    const struct children_world *world;
    const struct children_events *events;
    void *ctx;
    struct supervised *items;
    size_t count;
    char token[33]; /* of the folder */
    bool stopping, settled;
    struct loop_post post;
    bool posted;
    struct loop_timer look; /* at pauses and maintenance windows */
    char objection[160];
    void (*gone)(void *ctx);
    void *gone_ctx;
};

static inline struct loop *loop_of(const struct supervised *r) {
    return r->all->world->loop;
}
/* All that belongs to it. */
static inline struct process_family supervised_family(const struct supervised *r) {
    return (struct process_family){r->record.process.pid, r->mark};
}

/* supervised.c */
hardy_status supervised_init(struct supervised *r, struct children *all,
                             const struct child_settings *s, hardy_error *error);
void supervised_begin(struct supervised *r);
void supervised_feed(struct supervised *r, const struct child_event *event);
void supervised_tell(struct supervised *r, enum child_event_kind kind); /* an event without more */
bool supervised_ready(const struct supervised *r);
bool supervised_at_rest(const struct supervised *r); /* may be freed */
/* Whether it must be left alone now. */
bool supervised_hands_off(struct supervised *r);
/* That process is the one whose end is the child's. False: it has ended. */
bool supervised_attach(struct supervised *r, const struct process_identity *who);
hardy_status supervised_reload(struct supervised *r, hardy_error *error);
void supervised_checked(struct supervised *r, const struct check_state *state);
void supervised_free(struct supervised *r);

/* supervised_hear.c: what waits at its socket. `ctx` is a supervised. */
void supervised_hear(void *ctx);

/* supervised_write.c */
void supervised_write(struct supervised *r); /* the record */
/* People are told with the next record: "trigger", "resolve". */
void supervised_page(struct supervised *r, const char *action, const char *summary);

/* supervised_told.c */
void supervised_told(struct supervised *r, const char *what, const char *format, ...)
    HARDY_PRINTF(3, 4);
void supervised_tell_change(struct supervised *r, const struct child *before,
                            const struct child_event *e);

/* children.c: something has changed that others may depend on. */
void children_changed(struct children *c);
/* One that it starts after and that is not ready; NULL = all are. */
const char *children_missing(const struct supervised *r);
#endif
