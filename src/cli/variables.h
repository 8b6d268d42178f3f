/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_VARIABLES_H
#define CLI_VARIABLES_H
/* The environment variables that point agents at the gateway. */
#include "base/json.h"
#include "gateway/settings.h"

#define ORIGIN_SIZE (HTTP_AUTHORITY_SIZE + 8)
#define VARIABLE_COUNT 2

struct variables {
    char values[VARIABLE_COUNT][ORIGIN_SIZE + 72]; /* "" = nothing to set */
};
const char *variable_name(size_t i); /* "ANTHROPIC_BASE_URL" */

/* "http://127.0.0.1:4273": for processes of this host, also when it listens on all addresses. */
void origin_text(const struct http_authority *address, char out[ORIGIN_SIZE]);
/* An upstream, in the order they are configured: the first of each protocol counts. Returns whether
 * it is one of those. */
bool variables_add(struct variables *v, const char *origin, const char *name, const char *protocol);
void variables_of(struct variables *v, const char *origin, const struct gateway_settings *settings);
/* "export NAME=VALUE" lines, for fish "set -gx NAME VALUE", on standard output. */
void variables_print(const struct variables *v, bool fish);
/* One object of names and values. */
void variables_to_json(const struct variables *v, struct json_out *j);
#endif
