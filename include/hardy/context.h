/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_CONTEXT_H
#define HARDY_CONTEXT_H
/*
 * What an operation hands down to what it calls, besides a deadline: by what the far side knows a
 * repetition, and where the attempt stands in a distributed trace.
 *
 * A trace is a W3C Trace Context (Recommendation of 23 November 2021), the header `traceparent`.
 * Each attempt is a span of its own, so that a trace shows which of them was slow. hardy sends no
 * spans anywhere: that is for the caller, who finds the identifiers in hardy_call.
 */
#include <hardy/env.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HARDY_TRACEPARENT_SIZE 56 /* of a `traceparent`, with its NUL */

/* Sixteen and eight bytes that are the caller's, and the flags (1: sampled). A trace_id of zeros:
 * no trace. */
typedef struct hardy_trace {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags;
} hardy_trace;

/* Reads a header such as "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", also of later
 * versions. False, and no trace: `text` is NULL or is not one, and should be ignored. */
HARDY_API bool hardy_trace_parse(const char *text, hardy_trace *out);
/* Writes it as a header; "" when there is no trace. */
HARDY_API void hardy_trace_format(const hardy_trace *trace, char out[HARDY_TRACEPARENT_SIZE]);

/* The same for all attempts of an operation. */
typedef struct hardy_context {
    size_t size;
    uint64_t operation;          /* a number for logs; 0: one is drawn */
    const char *idempotency_key; /* borrowed until the operation has ended; NULL: none. That the far
                                    side honours it is for the caller to say: `repeatable` */
    hardy_trace trace;           /* the span_id is that of the caller */
} hardy_context;
HARDY_API void hardy_context_init(hardy_context *context, size_t size);

#ifdef __cplusplus
}
#endif
#endif
