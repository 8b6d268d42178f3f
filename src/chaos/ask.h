/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_ASK_H
#define CHAOS_ASK_H
/* A call's body: what is asked, in whichever of the APIs, and what the real ones would refuse. */
#include "chaos/answer.h"

enum ask_shape {
    ASK_MESSAGES,  /* Anthropic: /v1/messages */
    ASK_COUNT,     /* Anthropic: /v1/messages/count_tokens */
    ASK_CHAT,      /* OpenAI: /chat/completions */
    ASK_RESPONSES, /* OpenAI: /responses */
    ASK_MODELS     /* no body */
};

struct ask {
    char *model; /* "" = none */
    bool stream;
    bool include_usage; /* chat: a last chunk with the usage is wanted */
    char *tool;         /* the tool to call; NULL = answer with text */
    char *arguments;    /* of the tool, a JSON object */
    struct said said;
    uint64_t input_tokens; /* a guess: four bytes each */
};
struct ask_refusal {
    const char *param; /* what is wrong or missing; NULL = the body as a whole */
    bool missing;
    char message[240];
};
enum ask_result { ASK_TAKEN, ASK_REFUSED, ASK_NO_MEMORY };
/* `out` needs ask_free() whatever the result. */
enum ask_result ask_read(enum ask_shape shape, const char *body, size_t len, struct ask *out,
                         struct ask_refusal *why);
void ask_free(struct ask *a);
#endif
