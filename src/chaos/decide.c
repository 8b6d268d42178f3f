/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/prng.h"
#include "base/str.h"
#include "chaos/faults.h"
#include "chaos/hash.h"
#include <fnmatch.h>
#include <string.h>

/* One number in [0, 1) for each seed, rule, key and attempt. */
static double lot(const struct faults *f, size_t rule, const struct fault_call *call) {
    uint64_t key = hash_add(HASH_START, call->key, strlen(call->key));
    uint64_t x = prng_mix(prng_mix(prng_mix((uint64_t)f->seed) + rule) ^ key);
    return (double)(prng_mix(x + call->attempt) >> 11) * 0x1p-53;
}

static bool applies(const struct faults *f, size_t index, const struct fault_call *call) {
    const struct fault_rule *rule = (const struct fault_rule *)f->rules.items + index;
    if (call->since < rule->from || call->since >= time_add(rule->from, rule->span)) {
        return false;
    }
    if ((rule->first > 0 && call->attempt > rule->first) ||
        (rule->every > 0 && call->attempt % rule->every != 0)) {
        return false;
    }
    if ((rule->path && !str_ends(call->path, rule->path)) ||
        (rule->model && fnmatch(rule->model, call->model, 0) != 0) ||
        (rule->stream_given && rule->stream != call->stream)) {
        return false;
    }
    return rule->share >= 1 || lot(f, index, call) < rule->share;
}

int64_t faults_decide(const struct faults *f, const struct fault_call *call) {
    for (size_t i = 0; i < f->rules.count; i++) {
        if (applies(f, i, call)) {
            return (int64_t)i;
        }
    }
    return -1;
}

struct fault_decision faults_decision(const struct faults *f, int64_t index) {
    const struct fault_rule *rules = f->rules.items;
    return (struct fault_decision){.index = index,
                                   .rule = index >= 0 ? &rules[index] : NULL,
                                   .pace = f->pace,
                                   .think = f->think,
                                   .words = f->words};
}

static bool applies_always(const struct fault_rule *rule) {
    return rule->from == 0 && rule->span == HARDY_NEVER && rule->first == 0 && rule->every <= 1 &&
           rule->share >= 1 && !rule->path && !rule->model && !rule->stream_given;
}

int64_t faults_unreached(const struct faults *f) {
    const struct fault_rule *rules = f->rules.items;
    for (size_t i = 0; i + 1 < f->rules.count; i++) {
        if (applies_always(&rules[i])) {
            return (int64_t)i + 1;
        }
    }
    return -1;
}
