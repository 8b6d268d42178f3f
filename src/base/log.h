/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * Structured log lines: `level message key=value ...` for people, or one JSON object a line. The
 * program sets the sink once, before threads; the library logs only through its env.
 *
 *   log_event(HARDY_LOG_WARNING, "breaker opened", "guard", name, "failures", "5", NULL);
 */
#include <hardy/env.h>

void log_configure(hardy_log_level level, bool json, int fd);
bool log_enabled(hardy_log_level level);
/* Pairs of strings, ended by NULL. Values are quoted where needed. Written with one write(2). */
void log_event(hardy_log_level level, const char *message, ...) __attribute__((sentinel));
bool log_parse_level(const char *text, hardy_log_level *out); /* error warning info debug */
#endif
