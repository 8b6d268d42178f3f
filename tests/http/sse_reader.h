/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HTTP_SSE_READER_H
#define TESTS_HTTP_SSE_READER_H
/* What the tests and the fuzzer of server-sent events share: streams written down as text. */
#include "base/buf.h"

/* Feeds the stream in pieces of `first`, then `step` bytes (each in memory of its own, so that a
 * sanitizer sees what is read beyond it) and ends it. Writes a line for each event to `events`:
 * its bytes, name and data as JSON strings, and whether it is whole; then how it ended. To
 * `dispatched` (may be NULL) only name and data of what a browser would hand to its page. */
void sse_read(const char *stream, size_t len, size_t first, size_t step, size_t event_max,
              struct buf *events, struct buf *dispatched);
/* What a browser would hand to its page, by the letter of the standard, one character at a time. */
void sse_read_by_the_letter(const char *stream, size_t len, struct buf *dispatched);
#endif
