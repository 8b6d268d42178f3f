/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies that only hardy serve has: of the gateway and of the cached answers. Each of them done
 * twice is the same as once, whatever the key. */
#include "base/clock.h"
#include "base/error.h"
#include "daemon/inside.h"
#include "incident/handle.h"
#include <stdio.h>

static hardy_status clear_cache(struct daemon *d, const char *prefix, char told[200],
                                hardy_error *error) {
    size_t removed;
    hardy_status status = gather_clear(d, prefix, &removed, error);
    snprintf(told, 200, "forgot %zu answer%s", removed, removed == 1 ? "" : "s");
    return status;
}

hardy_status remedies_act(void *ctx, const struct action_settings *action, const char *key,
                          char told[200], hardy_error *error) {
    struct daemon *d = ctx;
    hardy_status status = HARDY_E_UNSUPPORTED;
    (void)key;
    if (action->clear_cache) {
        return clear_cache(d, action->clear_cache, told, error);
    }
    if (action->reset_connections) {
        status = gateway_reset_connections(d->gateway, action->reset_connections, told);
    } else if (action->lowers) {
        status = gateway_lower_concurrency(d->gateway, action->lower.guard, action->lower.to,
                                           time_add(loop_now(d->loop), action->lower.lasts), told);
    } else {
        snprintf(told, 200, "hardy serve knows no such remedy");
    }
    return status == HARDY_OK ? status : fail(error, status, NULL, "%s", told);
}
