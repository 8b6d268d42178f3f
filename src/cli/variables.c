/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/variables.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *protocol;
} known[VARIABLE_COUNT] = {{"ANTHROPIC_BASE_URL", "anthropic"}, {"OPENAI_BASE_URL", "openai"}};

const char *variable_name(size_t i) {
    return known[i].name;
}

void origin_text(const struct http_authority *address, char out[ORIGIN_SIZE]) {
    struct http_authority reached = *address;
    char text[HTTP_AUTHORITY_SIZE];
    if (str_eq(reached.host, "0.0.0.0")) {
        str_copy(reached.host, sizeof reached.host, "127.0.0.1");
    } else if (str_eq(reached.host, "::")) {
        str_copy(reached.host, sizeof reached.host, "::1");
    }
    http_authority_format(&reached, 0, text);
    snprintf(out, ORIGIN_SIZE, "http://%s", text);
}

bool variables_add(struct variables *v, const char *origin, const char *name,
                   const char *protocol) {
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        if (v->values[i][0] == '\0' && str_eq(known[i].protocol, protocol)) {
            snprintf(v->values[i], sizeof v->values[i], "%s/%s", origin, name);
            return true;
        }
    }
    return false;
}

void variables_of(struct variables *v, const char *origin,
                  const struct gateway_settings *settings) {
    *v = (struct variables){0};
    for (size_t i = 0; i < settings->upstream_count; i++) {
        const struct upstream_settings *u = &settings->upstreams[i];
        (void)variables_add(v, origin, u->name,
                            upstream_protocol_text((enum upstream_protocol)u->protocol));
    }
}

void variables_print(const struct variables *v, bool fish) {
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        /* An IPv6 address has brackets, which shells would read. */
        const char *quote = strchr(v->values[i], '[') ? "'" : "";
        if (v->values[i][0]) {
            printf(fish ? "set -gx %s %s%s%s\n" : "export %s=%s%s%s\n", known[i].name, quote,
                   v->values[i], quote);
        }
    }
}

void variables_to_json(const struct variables *v, struct json_out *j) {
    json_out_object(j);
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        if (v->values[i][0]) {
            json_out_key(j, known[i].name);
            json_out_string(j, v->values[i]);
        }
    }
    json_out_object_end(j);
}
