/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_TEMPLATE_H
#define CONFIG_TEMPLATE_H
/*
 * ${{ expression }} in workflow and incident files: paths (input.name, steps.vpc.output.id,
 * env.HOME), literals, == != < <= > >= && || ! and parentheses. Values come as JSON from a lookup
 * the caller gives.
 */
#include "base/buf.h"
#include <hardy/status.h>
#include <jansson.h>

/* Looks a path up ("steps.vpc.output.id"); a borrowed reference, or NULL = no such thing. */
typedef json_t *(*template_lookup)(void *ctx, const char *path);

/* The text with every ${{ }} replaced: strings as they are, other values as compact JSON. An
 * unknown path is E_SYNTAX, naming the path and the nearest thing that exists when the caller's
 * lookup offers one. */
hardy_status template_expand(const char *text, template_lookup lookup, void *ctx, struct buf *out,
                             hardy_error *error);
/* Whether the syntax is right, without values; reports each path used to `fn` (may be NULL). */
hardy_status template_check(const char *text, bool (*fn)(void *ctx, const char *path), void *ctx,
                            hardy_error *error);
/* A whole expression (the text of `when:`, with or without ${{ }}) as truth. */
hardy_status template_truth(const char *text, template_lookup lookup, void *ctx, bool *out,
                            hardy_error *error);
#endif
