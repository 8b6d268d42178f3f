/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HANDS_OFF_H
#define CLI_HANDS_OFF_H
/* What hardy keeps its hands off now, by the state and the configuration: for `hardy pause`, `hardy
 * resume` and `hardy status`. */
#include "base/json.h"
#include "cli/session.h"

/* Lines for a person, with what to type to end a pause. `count` of what there is. */
hardy_status print_hands_off(const struct session *s, bool color, size_t *count,
                             hardy_error *error);
/* A list of hands_off_entry_to_json(). */
hardy_status json_hands_off(const struct session *s, struct json_out *j, hardy_error *error);
#endif
