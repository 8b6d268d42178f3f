/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sd_notify.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

hardy_status sd_notify_send(const char *socket_name, const char *state, hardy_error *error) {
    const struct timeval limit = {.tv_sec = 1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!socket_name) {
        return HARDY_OK;
    }
    size_t len = strlen(socket_name);
    if ((*socket_name != '/' && *socket_name != '@') || len < 2 || len >= sizeof address.sun_path) {
        return fail(error, HARDY_E_INVALID, "NOTIFY_SOCKET",
                    "\"%s\" is neither a path nor @ and a name, of at most %zu bytes", socket_name,
                    sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, socket_name, len);
    if (*socket_name == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail_errno(error, errno, socket_name, "cannot tell the service manager");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t sent =
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    int errnum = errno;
    close(fd);
    return sent >= 0 ? HARDY_OK
                     : fail_errno(error, errnum, socket_name, "cannot tell the service manager");
}

hardy_status sd_notify_reloading(const char *socket_name, hardy_error *error) {
    char state[64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    return sd_notify_send(socket_name, state, error);
}

static void on_time(struct loop_timer *timer) {
    struct sd_watchdog *w = timer->ctx;
    (void)sd_notify_send(w->socket, "WATCHDOG=1", NULL); /* a manager that is away asks no more */
    loop_timer_start(w->loop, timer, time_add(loop_now(w->loop), w->every));
}

void sd_watchdog_start(struct sd_watchdog *w, struct loop *loop, const char *socket_name,
                       int64_t limit) {
    *w = (struct sd_watchdog){.loop = loop, .socket = socket_name, .every = limit / 2};
    loop_timer_init(&w->timer, on_time, w);
    if (socket_name && w->every > 0) {
        loop_timer_start(loop, &w->timer, loop_now(loop));
    }
}

void sd_watchdog_stop(struct sd_watchdog *w) {
    if (w->loop) {
        loop_timer_stop(w->loop, &w->timer);
    }
}
