/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_JOURNAL_H
#define CHAOS_JOURNAL_H
/*
 * What happened to each call, a line of JSON each, without a word of what was asked or answered;
 * and the same read again, for giving the same calls the same faults. A line holds the rule that
 * decided, so a journal needs no fault file beside it.
 */
#include "chaos/attempts.h"
#include "chaos/faults.h"

#define CHAOS_JOURNAL_MAX ((size_t)256 << 20) /* bytes of a file that is read */

struct chaos_entry {
    int64_t wall;    /* of its begin */
    uint64_t number; /* of the request, from 1 */
    const char *key; /* NULL, and attempt 0: it was refused before it was counted */
    uint32_t attempt;
    const char *method, *path, *model;
    bool stream;
    struct fault_decision decision;
    int status; /* 0 = nothing was answered */
    uint32_t events;
    const char *ended;
    int64_t took;
};
/* Appends the line, with its end. */
void chaos_journal_put(const struct chaos_entry *e, struct buf *out);

struct chaos_journal;
/* E_SYNTAX naming the line. A last line without its end is left out: whoever wrote it was killed.
 * `path` is for messages. */
hardy_status chaos_journal_read(const char *path, const char *bytes, size_t len,
                                struct chaos_journal **out, hardy_error *error);
void chaos_journal_free(struct chaos_journal *j); /* NULL is fine */
size_t chaos_journal_count(const struct chaos_journal *j);
/* What this attempt of this key was given; false, and no fault, when the journal does not know. Of
 * several the first. Valid while the journal is. */
bool chaos_journal_find(const struct chaos_journal *j, const char *key, uint32_t attempt,
                        struct fault_decision *out);
#endif
