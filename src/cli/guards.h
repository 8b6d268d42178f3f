/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_GUARDS_H
#define CLI_GUARDS_H
/* The guards that the processes of this host share, as they were when they were looked at. */
#include "base/json.h"
#include "cli/state.h"

struct guard_list;
/* Under a state that is no file, or that no guard was used with, there are none. free() the list,
 * also after a failure. */
hardy_status guard_list_load(const struct state *state, struct guard_list **out,
                             hardy_error *error);
size_t guard_list_count(const struct guard_list *list);
void guard_list_print(const struct guard_list *list, bool color);
void guard_list_to_json(const struct guard_list *list, struct json_out *j);
#endif
