/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_UNFINISHED_H
#define CLI_UNFINISHED_H
/* Effects that a state knows as begun and not as ended, and those that another state knows more of:
 * what a person has to look at after a state was put back. */
#include "base/json.h"
#include "store/store.h"

#define UNFINISHED_MAX 1000 /* named; the others are only counted */

struct unfinished {
    char *kind, *key, *state; /* "step", "shop-1/0003.pay", "running" */
    int64_t started;          /* wall */
};
struct unfinished_list {
    struct unfinished *items;
    size_t count, total; /* named, all */
    hardy_status status; /* of reading a record */
};
/* What runs or is in doubt in `store`. */
hardy_status unfinished_find(struct store *store, struct unfinished_list *out, hardy_error *error);
/* What was started in `later` and is not in `store`, or not this start of it. */
hardy_status unfinished_since(struct store *store, struct store *later, struct unfinished_list *out,
                              hardy_error *error);
void unfinished_free(struct unfinished_list *list);
void unfinished_to_json(const struct unfinished_list *list, struct json_out *j); /* an array */
/* A line for each to `stderr`, the first twenty. */
void unfinished_print(const struct unfinished_list *list);
#endif
