/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_FIELD_H
#define DURABLE_FIELD_H
/* Members of the JSON objects that rows hold, written and read in one way. */
#include "base/json.h"
#include <jansson.h>

/* Times are decimal strings of nanoseconds: a JSON number would lose the last digits. */
void field_put_time(struct json_out *j, const char *key, int64_t time);
int64_t field_time(const json_t *o, const char *key); /* 0 when it is not there */
char *field_text(const json_t *o, const char *key);   /* malloc'd; NULL when it is not there */
void field_copy(char *out, size_t size, const json_t *o, const char *key); /* "" likewise */
#endif
