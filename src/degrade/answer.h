/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_ANSWER_H
#define DEGRADE_ANSWER_H
/* What was gathered, as JSON. */
#include "base/json.h"
#include <hardy/gather.h>

/* Whether there is anything to go on with: fresh, cached or static. */
bool component_has_data(const hardy_component *c);
/* The members degradation_level, components{success, data, cached, age, degraded, state, source,
 * took_ms, error} and metadata{total_components, successful_components, cached_responses,
 * degraded_components}. Data is JSON. */
void gathered_put(struct json_out *j, const hardy_component *components, size_t count);
/* An object of these. */
void gathered_to_json(const hardy_component *components, size_t count, struct buf *out);
#endif
