/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/gather.h"
#include "base/json.h"

static const char *const level_words[] = {"full", "slight", "moderate", "minimal", "failed"};

const char *degrade_level_text(enum degrade_level level) {
    return level_words[level];
}

static bool has_data(const struct component *c) {
    return c->state == COMPONENT_FRESH || c->state == COMPONENT_CACHED ||
           c->state == COMPONENT_STATIC;
}

enum degrade_level degrade_level_of(const struct component *components, size_t count) {
    double total = 0, success = 0, stale = 0;
    bool all_fresh = true;
    for (size_t i = 0; i < count; i++) {
        const struct component *c = &components[i];
        total += c->weight;
        if (c->critical && !has_data(c))
            return DEGRADE_FAILED;
        if (has_data(c))
            success += c->weight;
        if (c->state != COMPONENT_FRESH) {
            all_fresh = false;
            if (has_data(c))
                stale += c->weight;
        }
    }
    if (all_fresh)
        return DEGRADE_FULL;
    /* Shares of sums of weights: a hair's breadth of rounding must not decide. */
    const double hair = 1e-9;
    if (success / total >= 0.8 - hair && stale / total < 0.3 - hair)
        return DEGRADE_SLIGHT;
    if (success / total >= 0.6 - hair)
        return DEGRADE_MODERATE;
    if (success / total >= 0.3 - hair)
        return DEGRADE_MINIMAL;
    return DEGRADE_FAILED;
}

static void put_component(struct json_out *j, const struct component *c) {
    json_out_key(j, c->name);
    json_out_object(j);
    json_out_key(j, "success");
    json_out_bool(j, has_data(c));
    json_out_key(j, "data");
    if (c->data)
        json_out_raw(j, c->data);
    else
        json_out_null(j);
    json_out_key(j, "cached");
    json_out_bool(j, c->state == COMPONENT_CACHED);
    if (c->state == COMPONENT_CACHED) {
        json_out_key(j, "age");
        json_out_double(j, (double)c->age / (double)HARDY_SECOND);
    }
    json_out_key(j, "degraded");
    json_out_bool(j, c->state != COMPONENT_FRESH);
    json_out_key(j, "took_ms");
    json_out_int(j, c->took / HARDY_MILLISECOND);
    json_out_key(j, "error");
    json_out_string(j, c->error[0] ? c->error : NULL);
    json_out_object_end(j);
}

void gather_to_json(const struct component *components, size_t count, struct buf *out) {
    struct json_out j;
    int successful = 0, cached = 0, degraded = 0;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "degradation_level");
    json_out_string(&j, degrade_level_text(degrade_level_of(components, count)));
    json_out_key(&j, "components");
    json_out_object(&j);
    for (size_t i = 0; i < count; i++) {
        successful += has_data(&components[i]);
        cached += components[i].state == COMPONENT_CACHED;
        degraded += components[i].state != COMPONENT_FRESH;
        put_component(&j, &components[i]);
    }
    json_out_object_end(&j);
    json_out_key(&j, "metadata");
    json_out_object(&j);
    json_out_key(&j, "total_components");
    json_out_int(&j, (int64_t)count);
    json_out_key(&j, "successful_components");
    json_out_int(&j, successful);
    json_out_key(&j, "cached_responses");
    json_out_int(&j, cached);
    json_out_key(&j, "degraded_components");
    json_out_int(&j, degraded);
    json_out_object_end(&j);
    json_out_object_end(&j);
}
