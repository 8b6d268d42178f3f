/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/sharing.h"

static enum host_want want(bool given, bool present) {
    return given && present ? HOST_GIVEN : present ? HOST_DEFAULT : HOST_IF_STORED;
}

hardy_status sharing_attach(struct host *host, const char *name, struct guard_settings *s,
                            uint32_t *max_concurrent, struct host_slot *slot, hardy_error *error) {
    struct host_policies p = {
        .want_breaker = want(s->given_breaker, s->config.breaker),
        .want_rate = want(s->given_rate, s->config.rate),
        .want_budget = want(s->given_budget, s->config.retry && s->config.budget),
        .want_slots = want(s->given_slots, *max_concurrent > 0),
        .breaker = s->breaker,
        .rate = s->rate,
        .budget = s->budget,
        .max_concurrent = *max_concurrent,
    };
    hardy_status status = host_attach(host, name, &p, slot, error);
    if (status != HARDY_OK) {
        return status;
    }
    if (s->config.breaker) {
        s->breaker = p.breaker;
    } else {
        slot->breaker = NULL; /* switched off for this call */
    }
    if (slot->rate) {
        s->rate = p.rate;
        s->config.rate = &s->rate;
    }
    if (s->config.budget && slot->budget) {
        s->budget = p.budget;
        s->config.budget = &s->budget;
    }
    *max_concurrent = p.max_concurrent;
    return HARDY_OK;
}

hardy_status sharing_serve(struct host *host, const char *name, struct guard_settings *s,
                           struct guard_words *words, hardy_error *error) {
    struct host_slot slot = {0};
    uint32_t none = 0;
    (void)host_forget_settings(host, name, NULL);
    hardy_status status = sharing_attach(host, name, s, &none, &slot, error);
    *words = (struct guard_words){slot.breaker, slot.rate, slot.budget};
    return status;
}
