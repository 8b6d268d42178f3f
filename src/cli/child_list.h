/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CHILD_LIST_H
#define CLI_CHILD_LIST_H
/* The supervised processes of a state, as the hardy that has them last wrote: for `hardy status`.
 */
#include "base/json.h"
#include "store/store.h"

/* Nothing when there are none. */
void print_children(struct store *store);
/* An array. */
void children_list_to_json(struct store *store, struct json_out *j);
#endif
