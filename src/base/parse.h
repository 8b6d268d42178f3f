/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H
/*
 * Durations, rates, sizes and numbers as people write them. Each parser takes the whole string or
 * refuses it; on refusal the error's message says what was expected ("a duration such as 250ms,
 * 30s, 2m, 1h, 7d; \"30\" has no unit").
 */
#include <hardy/env.h>

/* ns us ms s m h d, one or several parts ("1h30m"), decimals allowed ("0.5s"); no sign; at most
 * 292 years. "0" alone is accepted, every other bare number is refused. */
hardy_status parse_duration(const char *text, int64_t *out, hardy_error *error);

/* "10/s", "50/m", "5/h", "100/d": events and the period they are counted over. */
struct rate {
    double events; /* > 0 */
    int64_t period;
};
hardy_status parse_rate(const char *text, struct rate *out, hardy_error *error);
/* The same as events a second; a bare number is of one second: "10", "10/s", "600/m". */
hardy_status parse_per_second(const char *text, double *out, hardy_error *error);

/* Bytes: "65536", "64KiB", "1MiB", "2GiB", "10kB", "1MB". */
hardy_status parse_size(const char *text, uint64_t *out, hardy_error *error);
hardy_status parse_integer(const char *text, int64_t min, int64_t max, int64_t *out,
                           hardy_error *error);
hardy_status parse_number(const char *text, double min, double max, double *out,
                          hardy_error *error);
hardy_status parse_bool(const char *text, bool *out, hardy_error *error); /* true false */

/* The shortest exact way to write a duration ("1m30s", "250ms", "0s"); `out` holds 48 bytes. */
void format_duration(int64_t span, char *out);
/* "10/s", "0.5/h", "3/30s"; `out` holds 96 bytes. */
void format_rate(double events, int64_t period, char *out);
/* For a person: two significant units at most ("1m 30s", "4.2s", "250ms"); `out` holds 48 bytes. */
void format_duration_short(int64_t span, char *out);
#endif
