/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DATE_H
#define BASE_DATE_H
/* Moments as the internet's protocols write them. The whole text is read, or nothing. */
#include <stdbool.h>
#include <stdint.h>

/* The three forms of RFC 9110, 5.6.7, to seconds since 1970. `wall` (nanoseconds since 1970): a
 * year of two digits is the one nearest to it. The weekday is not checked against the date. */
bool date_read_http(const char *text, int64_t wall, int64_t *seconds);
/* RFC 3339, 5.6: "2026-11-28T16:04:05.25+01:00", to seconds since 1970 and the nanoseconds beyond;
 * digits behind the ninth of a fraction are dropped. */
bool date_read_rfc3339(const char *text, int64_t *seconds, int64_t *nanoseconds);
/* The same to nanoseconds since 1970, as clock_wall() has them; what is later than 2262 is 2262. */
bool date_read_wall(const char *text, int64_t *wall);
#endif
