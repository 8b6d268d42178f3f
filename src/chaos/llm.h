/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_LLM_H
#define CHAOS_LLM_H
/*
 * A server that speaks the APIs of Anthropic and OpenAI and fails as it is told to: for trying out,
 * without a network, what stands before such a server or calls it. It runs on any loop.
 *
 * POST .../v1/messages, .../v1/messages/count_tokens, .../chat/completions, .../responses, and GET
 * .../models. What is asked does not matter; what is answered is in chaos/answer.h. A request that
 * offers tools is answered with a call of the first one, unless its last message is the result of a
 * tool.
 *
 * The key of a call is its header x-chaos-key, else made of its path and body; attempts of a key
 * are counted from 1.
 */
#include "chaos/faults.h"
#include "chaos/journal.h"
#include "io/loop.h"

struct chaos_llm_options {
    const char *host;                   /* 127.0.0.1 */
    uint16_t port;                      /* 0 = a free one */
    const struct faults *faults;        /* borrowed until closed; NULL = none */
    const struct chaos_journal *replay; /* borrowed; decides in place of the rules; NULL */
    const char *require_key; /* borrowed; without it in x-api-key or Authorization: 401; NULL */
    uint32_t key_max;        /* keys that are remembered: 65536 */
    size_t connection_max;   /* 16384 */
    /* A line of the journal, when a call has ended; may be NULL. */
    void (*journal)(void *ctx, const char *line, size_t len);
    void *ctx;
};
void chaos_llm_options_init(struct chaos_llm_options *o);

struct chaos_counts {
    uint64_t requests;
    uint64_t faults[FAULT_KINDS]; /* decided */
    /* How requests have ended: with all of an answer, failed as told, left by the client, by the
     * server's end, refused for what they were. */
    uint64_t complete, as_told, client_left, shut_down, refused;
    uint64_t open, most_open; /* requests at once: now, ever */
    uint64_t unknown;         /* not in the journal that is replayed */
};

struct chaos_llm;
hardy_status chaos_llm_open(struct loop *loop, const struct chaos_llm_options *options,
                            struct chaos_llm **out, hardy_error *error);
uint16_t chaos_llm_port(const struct chaos_llm *llm);
const struct chaos_counts *chaos_llm_counts(const struct chaos_llm *llm);
/* Accepts nothing more, ends at once what would wait beyond `limit` (absolute), and what is left
 * then. `done` (may be NULL) is called from the loop when the server is gone; the counts are valid
 * until it returns. */
void chaos_llm_close(struct chaos_llm *llm, int64_t limit, void (*done)(void *ctx), void *ctx);
#endif
