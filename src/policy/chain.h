/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_CHAIN_H
#define POLICY_CHAIN_H
/* The chain of one component: fresh > cached > static > none. The only fallback there is. */
#include <hardy/gather.h>

struct chain {
    const hardy_cache *cache; /* NULL = none */
    const char *key;
    int64_t ttl;       /* older answers do not stand in; 0 = none does */
    int64_t refresh;   /* so young an answer is fresh enough; 0 = none is */
    const void *fixed; /* NULL = none */
    size_t fixed_len;
    bool fresh_only; /* an error, never an old or a static answer */
};
/* Whether the last good answer is young enough that no source need be asked; it is FRESH then. */
bool chain_reuse(const struct chain *chain, hardy_component *c);
/* A source's answer: malloc'd with a NUL behind `len`, taken. It becomes the last good one. Leaves
 * `error` alone: it tells of the sources before. */
void chain_answered(const struct chain *chain, char *data, size_t len, hardy_component *c);
/* No source has answered, for the reason in c->error: what stands in. */
void chain_fall_back(const struct chain *chain, hardy_component *c);
#endif
