/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/answer.h"

bool component_has_data(const hardy_component *c) {
    return c->state == HARDY_COMPONENT_FRESH || c->state == HARDY_COMPONENT_CACHED ||
           c->state == HARDY_COMPONENT_STATIC;
}

static void put_component(struct json_out *j, const hardy_component *c) {
    bool cached = c->state == HARDY_COMPONENT_CACHED, fresh = c->state == HARDY_COMPONENT_FRESH;
    json_out_key(j, c->name);
    json_out_object(j);
    json_out_key(j, "success");
    json_out_bool(j, component_has_data(c));
    json_out_key(j, "data");
    if (c->data)
        json_out_raw(j, c->data);
    else
        json_out_null(j);
    json_out_key(j, "cached");
    json_out_bool(j, cached);
    if (cached || (fresh && c->age > 0)) {
        json_out_key(j, "age");
        json_out_double(j, (double)c->age / (double)HARDY_SECOND);
    }
    json_out_key(j, "degraded");
    json_out_bool(j, !fresh);
    json_out_member_string(j, "state", hardy_component_state_text(c->state));
    if (fresh && c->source > 0) {
        json_out_key(j, "alternate");
        json_out_int(j, c->source);
    }
    json_out_key(j, "took_ms");
    json_out_int(j, c->took / HARDY_MILLISECOND);
    json_out_member_string(j, "error", c->error[0] ? c->error : NULL);
    json_out_object_end(j);
}

void gathered_put(struct json_out *j, const hardy_component *components, size_t count) {
    int successful = 0, cached = 0;
    json_out_member_string(j, "degradation_level",
                           hardy_level_text(hardy_level_of(components, count)));
    json_out_key(j, "components");
    json_out_object(j);
    for (size_t i = 0; i < count; i++) {
        successful += component_has_data(&components[i]);
        cached += components[i].state == HARDY_COMPONENT_CACHED;
        put_component(j, &components[i]);
    }
    json_out_object_end(j);
    json_out_key(j, "metadata");
    json_out_object(j);
    json_out_key(j, "total_components");
    json_out_int(j, (int64_t)count);
    json_out_key(j, "successful_components");
    json_out_int(j, successful);
    json_out_key(j, "cached_responses");
    json_out_int(j, cached);
    json_out_key(j, "degraded_components");
    json_out_array(j);
    for (size_t i = 0; i < count; i++)
        if (components[i].state != HARDY_COMPONENT_FRESH)
            json_out_string(j, components[i].name);
    json_out_array_end(j);
    json_out_object_end(j);
}

void gathered_to_json(const hardy_component *components, size_t count, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    gathered_put(&j, components, count);
    json_out_object_end(&j);
}
