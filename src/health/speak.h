/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_SPEAK_H
#define HEALTH_SPEAK_H
/*
 * The few words that are spoken to a server to hear whether it works, and what its answer means.
 * Pure: bytes in, bytes out. Also the number in a text.
 */
#include "health/check.h"

struct heard {
    enum check_result result;
    char message[200];
};

/* PING, behind AUTH when there is a password (borrowed; NULL = none). */
void redis_ask(const struct check_redis *c, const char *password, size_t len, struct buf *out);
/* False: there is more to come. `authenticated`: as it was asked. */
bool redis_hear(const char *data, size_t len, bool authenticated, struct heard *out);

/* Asks for a session, which is given up at the first word of the answer: nobody logs in. */
void postgresql_ask(const struct check_postgresql *c, struct buf *out);
bool postgresql_hear(const char *data, size_t len, struct heard *out);

/* The number in a text, at `json` when that is not NULL, against its bounds. */
void number_hear(const struct check_number *c, const char *text, size_t len, struct heard *out);
#endif
