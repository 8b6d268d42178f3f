/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_ANSWER_H
#define CHAOS_ANSWER_H
/*
 * What the answers say. It follows from the last message of the user, so that whoever asked can
 * tell a whole answer from a part of one, and the answer to one message from that to another: the
 * message's first characters, words that its hash has chosen, and END. behind the last.
 */
#include "base/buf.h"
#include <stdint.h>

#define ANSWER_QUOTED 20 /* characters */

/* The message, in pieces: where it has several texts, a line end lies between them. */
struct said {
    uint64_t hash;
    size_t parts, characters;
    char quote[4 * ANSWER_QUOTED + 1];
};
void said_init(struct said *s);
void said_add(struct said *s, const char *text, size_t len);

/* A text in the pieces in which it is streamed. */
struct pieces {
    struct buf text;
    uint32_t *ends; /* offsets */
    uint32_t count;
};
/* The answer in `words` pieces, at least 2. False without memory; pieces_free() also then. */
bool pieces_answer(struct pieces *p, const struct said *s, uint32_t words);
/* A text in pieces of some characters, as arguments of tools are sent; with `empty` before them. */
bool pieces_split(struct pieces *p, const char *text, size_t len, bool empty);
const char *pieces_at(const struct pieces *p, uint32_t i, size_t *len);
void pieces_free(struct pieces *p);

/* For tests: the whole text that answers a message. False without memory. */
bool chaos_answer(const char *message, size_t len, uint32_t words, struct buf *out);
#endif
