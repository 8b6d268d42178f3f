/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/chain.h"
#include <stdlib.h>
#include <string.h>

/* Whether an answer that is no older than `limit` is kept; it is the component's then. A clock that
 * was set back makes nothing younger than now. */
static bool take_kept(const struct chain *chain, int64_t limit, hardy_component *c) {
    size_t len = 0;
    int64_t age = 0;
    if (!chain->cache || chain->fresh_only || limit <= 0) {
        return false;
    }
    char *kept = chain->cache->get(chain->cache->ctx, chain->key, &len, &age);
    if (!kept || age > limit) {
        free(kept);
        return false;
    }
    c->data = kept;
    c->len = len;
    c->age = age > 0 ? age : 0;
    return true;
}

bool chain_reuse(const struct chain *chain, hardy_component *c) {
    if (!take_kept(chain, chain->refresh, c)) {
        return false;
    }
    c->state = HARDY_COMPONENT_FRESH;
    return true;
}

void chain_answered(const struct chain *chain, char *data, size_t len, hardy_component *c) {
    c->state = HARDY_COMPONENT_FRESH;
    c->data = data;
    c->len = len;
    if (chain->cache && (chain->ttl > 0 || chain->refresh > 0)) {
        chain->cache->put(chain->cache->ctx, chain->key, data, len);
    }
}

void chain_fall_back(const struct chain *chain, hardy_component *c) {
    c->state = HARDY_COMPONENT_MISSING;
    if (take_kept(chain, chain->ttl, c)) {
        c->state = HARDY_COMPONENT_CACHED;
    } else if (chain->fixed && !chain->fresh_only && (c->data = malloc(chain->fixed_len + 1))) {
        memcpy(c->data, chain->fixed, chain->fixed_len);
        c->data[chain->fixed_len] = '\0';
        c->len = chain->fixed_len;
        c->state = HARDY_COMPONENT_STATIC;
    }
}
