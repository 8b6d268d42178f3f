/* SPDX-License-Identifier: Apache-2.0 */
#include <hardy/gather.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *hardy_level_text(hardy_level level) {
    static const char *const words[] = {"full", "slight", "moderate", "minimal", "failed"};
    return (unsigned)level < COUNT(words) ? words[level] : "unknown level";
}

const char *hardy_component_state_text(hardy_component_state state) {
    static const char *const words[] = {"waiting", "fresh", "cached", "static", "missing"};
    return (unsigned)state < COUNT(words) ? words[state] : "unknown state";
}

hardy_level hardy_level_of(const hardy_component *components, size_t count) {
    double total = 0, with_data = 0, stale = 0;
    bool all_fresh = true;
    for (size_t i = 0; i < count; i++) {
        const hardy_component *c = &components[i];
        bool fresh = c->state == HARDY_COMPONENT_FRESH;
        bool instead = c->state == HARDY_COMPONENT_CACHED || c->state == HARDY_COMPONENT_STATIC;
        if (c->critical && !fresh && !instead) {
            return HARDY_LEVEL_FAILED;
        }
        total += c->weight;
        with_data += fresh || instead ? c->weight : 0;
        stale += instead ? c->weight : 0;
        all_fresh = all_fresh && fresh;
    }
    if (all_fresh) {
        return HARDY_LEVEL_FULL;
    }
    /* Shares of sums of weights: a hair's breadth of rounding must not decide. */
    const double hair = 1e-9;
    if (with_data / total >= 0.8 - hair && stale / total < 0.3 - hair) {
        return HARDY_LEVEL_SLIGHT;
    }
    if (with_data / total >= 0.6 - hair) {
        return HARDY_LEVEL_MODERATE;
    }
    return with_data / total >= 0.3 - hair ? HARDY_LEVEL_MINIMAL : HARDY_LEVEL_FAILED;
}
