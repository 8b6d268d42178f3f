/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/answer.h"
#include "base/prng.h"
#include "base/str.h"
#include "chaos/hash.h"
#include <stdlib.h>
#include <string.h>

#define PIECE 8              /* characters of a tool's arguments in one event */
#define TEXT_MAX (33u << 20) /* arguments name what the request has named, which may be 32 MiB */

static const char *const words_known[] = {
    "amber",  "basin",  "cedar",  "delta",   "ember",  "fjord",   "grove",   "harbor",
    "island", "jasper", "kettle", "lantern", "meadow", "north",   "orchard", "pebble",
    "quarry", "river",  "saddle", "timber",  "upland", "valley",  "willow",  "yonder",
    "zephyr", "anchor", "beacon", "copper",  "drift",  "feather", "garnet",  "hollow"};

void said_init(struct said *s) {
    *s = (struct said){.hash = HASH_START};
}

/* Bytes that are no UTF-8 are hashed and not quoted: the quotation stands in JSON. */
static void quote(struct said *s, const char *text, size_t len) {
    size_t used = strlen(s->quote);
    for (size_t at = 0, size; at < len && s->characters < ANSWER_QUOTED; at += size) {
        size = str_utf8_length(text + at, len - at);
        if (size > 0 && text[at] != '\0') {
            memcpy(s->quote + used, text + at, size);
            used += size;
            s->quote[used] = '\0';
            s->characters++;
        }
        size = size > 0 ? size : 1;
    }
}

void said_add(struct said *s, const char *text, size_t len) {
    if (s->parts++ > 0) {
        s->hash = hash_add(s->hash, "\n", 1);
        quote(s, "\n", 1);
    }
    s->hash = hash_add(s->hash, text, len);
    quote(s, text, len);
}

static bool begin(struct pieces *p, size_t count) {
    *p = (struct pieces){.ends = calloc(count, sizeof *p->ends)};
    buf_init(&p->text, TEXT_MAX);
    return p->ends != NULL;
}

static void end_piece(struct pieces *p) {
    p->ends[p->count++] = (uint32_t)p->text.len;
}

bool pieces_answer(struct pieces *p, const struct said *s, uint32_t words) {
    if (!begin(p, words)) {
        return false;
    }
    buf_printf(&p->text, "You said \"%s\". ", s->quote);
    end_piece(p);
    for (uint32_t i = 1; i + 1 < words; i++) {
        uint64_t chosen = prng_mix(s->hash + i) % (sizeof words_known / sizeof *words_known);
        buf_printf(&p->text, "%s ", words_known[chosen]);
        end_piece(p);
    }
    buf_puts(&p->text, "END.");
    end_piece(p);
    return !p->text.failed;
}

bool pieces_split(struct pieces *p, const char *text, size_t len, bool empty) {
    if (!begin(p, len / PIECE + 2) || !buf_append(&p->text, text, len)) {
        return false;
    }
    if (empty) {
        p->ends[p->count++] = 0;
    }
    for (size_t at = 0; at < len;) {
        size_t size = 1;
        for (int i = 0; i < PIECE && at < len; i++, at += size) {
            size = str_utf8_length(text + at, len - at);
            size = size > 0 ? size : 1;
        }
        p->ends[p->count++] = (uint32_t)at;
    }
    return true;
}

const char *pieces_at(const struct pieces *p, uint32_t i, size_t *len) {
    size_t start = i > 0 ? p->ends[i - 1] : 0;
    *len = p->ends[i] - start;
    return p->text.data ? p->text.data + start : "";
}

void pieces_free(struct pieces *p) {
    buf_free(&p->text);
    free(p->ends);
    *p = (struct pieces){0};
}

bool chaos_answer(const char *message, size_t len, uint32_t words, struct buf *out) {
    struct said s;
    struct pieces p;
    said_init(&s);
    said_add(&s, message, len);
    bool good = pieces_answer(&p, &s, words) && buf_append(out, p.text.data, p.text.len);
    pieces_free(&p);
    return good;
}
