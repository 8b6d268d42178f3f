/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HTTP_READER_H
#define TESTS_HTTP_READER_H
/* A stream of messages, fed to the parser in pieces, as one text: for comparing how it is cut. */
#include "http/parser.h"

#define READER_HEAD_MAX 1024
#define READER_FIELD_MAX 20

/* `out` becomes a line for each message; at its end the status of a refusal, "more" when a message
 * is not complete, or with `eof` what its end there means. The first piece has `first` bytes, the
 * others `step`. `to_head`: the first response answers a HEAD. */
void read_messages(bool response, bool to_head, const char *data, size_t len, size_t first,
                   size_t step, bool eof, struct buf *out);
#endif
