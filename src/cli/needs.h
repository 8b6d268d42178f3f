/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_NEEDS_H
#define CLI_NEEDS_H
/* What is open in the state, and what of it needs a person: for `hardy status`. */
#include "store/store.h"
#include <jansson.h>

struct needs {
    json_t *people;    /* objects of kind, name, what, line (to type) */
    json_t *incidents; /* those that are not over, as `hardy incidents list --json` has them */
};
/* Adds to both lists what there is; rows that cannot be read are left out. */
void needs_load(struct store *store, struct needs *out);
void print_open_incidents(const struct needs *n);
void print_needs(const struct needs *n);
#endif
