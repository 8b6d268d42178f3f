/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_MANAGER_H
#define CLI_MANAGER_H
/* The service manager that started this process, if one did (Type=notify, WatchdogSec= in systemd's
 * words); without one every call does nothing. */
#include "cli/options.h"
#include "io/sd_notify.h"

struct manager {
    const struct options *o;
    char *socket; /* NULL: there is none */
    struct sd_watchdog watchdog;
};
/* Takes NOTIFY_SOCKET and the watchdog's variables out of the environment, for they are not meant
 * for what this process starts, and feeds the watchdog from the loop from now on. */
void manager_begin(struct manager *m, const struct options *o, struct loop *loop);
void manager_ready(struct manager *m, const char *status); /* `status`: one line for a person */
void manager_reloading(struct manager *m);                 /* until it is ready again */
void manager_stopping(struct manager *m, const char *status);
void manager_end(struct manager *m);
#endif
