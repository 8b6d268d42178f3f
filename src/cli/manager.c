/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manager.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/say.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How long it waits for a sign of life; 0 = it does not. */
static int64_t watchdog_limit(void) {
    const char *limit = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");
    int64_t microseconds = 0, pid = getpid();
    if (!limit ||
        parse_integer(limit, 1, INT64_MAX / HARDY_MICROSECOND, &microseconds, NULL) != HARDY_OK ||
        (whose && parse_integer(whose, 1, INT64_MAX, &pid, NULL) != HARDY_OK) || pid != getpid()) {
        return 0;
    }
    return microseconds * HARDY_MICROSECOND;
}

void manager_begin(struct manager *m, const struct options *o, struct loop *loop) {
    const char *name = getenv("NOTIFY_SOCKET");
    int64_t limit = watchdog_limit();
    *m = (struct manager){.o = o, .socket = name && *name ? str_dup(name) : NULL};
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    sd_watchdog_start(&m->watchdog, loop, m->socket, limit);
}

static void tell(struct manager *m, const char *what, const char *status) {
    char state[300];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(state, sizeof state, "%s\nSTATUS=%.200s", what, status);
    if (sd_notify_send(m->socket, state, &error) != HARDY_OK) {
        say(m->o, HARDY_LOG_WARNING, "%s: %s", error.where, error.message);
    }
}

void manager_ready(struct manager *m, const char *status) {
    tell(m, "READY=1", status);
}

void manager_reloading(struct manager *m) {
    (void)sd_notify_reloading(m->socket, NULL); /* what follows says what is wrong */
}

void manager_stopping(struct manager *m, const char *status) {
    tell(m, "STOPPING=1", status);
}

void manager_end(struct manager *m) {
    sd_watchdog_stop(&m->watchdog);
    free(m->socket);
    *m = (struct manager){0};
}
