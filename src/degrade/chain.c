/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "degrade/gather.h"
#include <stdlib.h>

void chain_settle(const struct chain *chain, char *fresh, const char *why, struct component *c) {
    c->error[0] = '\0';
    if (fresh) {
        c->state = COMPONENT_FRESH;
        c->data = fresh;
        if (chain->cache)
            chain->cache->put(chain->cache->ctx, chain->cache_key, fresh);
        return;
    }
    str_copy(c->error, sizeof c->error, why);
    c->state = COMPONENT_MISSING;
    if (chain->fresh_only)
        return;
    if (chain->cache) {
        int64_t age = 0;
        char *cached = chain->cache->get(chain->cache->ctx, chain->cache_key, &age);
        if (cached && age <= chain->ttl) {
            c->state = COMPONENT_CACHED;
            c->data = cached;
            c->age = age;
            return;
        }
        free(cached);
    }
    if (chain->fixed) {
        c->data = str_dup(chain->fixed);
        if (c->data)
            c->state = COMPONENT_STATIC;
    }
}
