/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_TEMPLATE_H
#define CONFIG_TEMPLATE_H
/*
 * ${{ expression }} in workflow and incident files: paths (input.name, steps.vpc.output.id,
 * steps.list.output[0].id), literals ('text', "text", 12, -1.5, true, false, null), == != < <= > >=
 * && || ! and parentheses. Values come as JSON from a lookup the caller gives.
 *
 * && and || look at their right side only when the left one does not decide, and give the value
 * that decided: ${{ input.region || 'eu' }}. False are false, null, 0 and "". Only values of one
 * kind are compared; null equals only null; < and its like need two numbers or two texts (by
 * bytes). A text against a number is an error, not a silent false. `$${{` writes a literal `${{`.
 *
 * Nothing is ever pasted into a shell here: callers hand values over as arguments or environment.
 */
#include "base/buf.h"
#include <hardy/status.h>
#include <jansson.h>

/* Looks a path up ("steps.vpc.output.id"; [0] comes as ".0"); a borrowed reference, or NULL = no
 * such thing. When it also answers the beginnings of paths ("steps", and "" for the outermost
 * names), errors name the nearest thing that exists. */
typedef json_t *(*template_lookup)(void *ctx, const char *path);

/* The text with every ${{ }} replaced: strings as they are, other values as compact JSON. An
 * unknown path is E_SYNTAX, naming the path and the nearest thing that exists. `error->where` is
 * left as it is. */
hardy_status template_expand(const char *text, template_lookup lookup, void *ctx, struct buf *out,
                             hardy_error *error);
/* The same, but each value goes as text to `put`, which writes what is to stand in its place: for
 * texts into which a value must not be pasted. */
typedef void (*template_put)(void *ctx, const char *value, size_t len, struct buf *out);
hardy_status template_expand_by(const char *text, template_lookup lookup, void *ctx,
                                template_put put, void *put_ctx, struct buf *out,
                                hardy_error *error);
/* A text that is nothing but one ${{ }}, white space around it aside, is that value itself, of
 * whatever kind; every other is the expanded text (TEMPLATE_TEXT_MAX bytes at most). A new
 * reference to what the lookup gave, which is not to be changed. */
#define TEMPLATE_TEXT_MAX ((size_t)4 << 20)
hardy_status template_value(const char *text, template_lookup lookup, void *ctx, json_t **out,
                            hardy_error *error);
/* Whether the syntax is right, without values; reports each path used to `fn` (may be NULL), which
 * returns false when there can be no such thing: E_SYNTAX naming it. */
typedef bool (*template_known)(void *ctx, const char *path);
hardy_status template_check(const char *text, template_known fn, void *ctx, hardy_error *error);
/* A whole expression (the text of `when:`, with or without ${{ }}) as truth, and its check. */
hardy_status template_truth(const char *text, template_lookup lookup, void *ctx, bool *out,
                            hardy_error *error);
hardy_status template_check_truth(const char *text, template_known fn, void *ctx,
                                  hardy_error *error);
/* Whether there is a ${{ in the text. */
bool template_used(const char *text);
/* For lookups: the value that `path` leads to from `root` ("output.list.0.id"); a key may itself
 * hold dots, the longest that exists is taken. The root for "". NULL = no such thing. */
json_t *template_walk(json_t *root, const char *path);
/* A value as compact JSON, numbers in their shortest form. */
void template_put_json(const json_t *value, struct buf *out);
#endif
