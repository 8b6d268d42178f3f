/* SPDX-License-Identifier: Apache-2.0 */
/* How long the far side asks to wait: Retry-After and its kin, and when a rate limit is reset. */
#include "policy/retry_after.h"
#include "base/clock.h"
#include "base/date.h"
#include "base/number.h"
#include "base/parse.h"
#include <string.h>
#include <strings.h>

#define LIMITS 8

/* Who said it, the stronger last. */
enum source { NOBODY, RETRY_INFO, RETRY_AFTER, MILLISECONDS };

/* What two headers say of one limit, in whatever order they come. */
struct limit {
    uint64_t name; /* hash of the name without the word in which the two differ; 0 = free */
    int64_t reset;
    bool used_up;
};
struct told {
    enum source source;
    int64_t wait;      /* by `source` */
    int64_t ratelimit; /* by RateLimit */
    struct limit limits[LIMITS];
};
_Static_assert(sizeof(struct told) <= sizeof(hardy_retry_after), "hardy_retry_after has room");
_Static_assert(_Alignof(struct told) <= _Alignof(hardy_retry_after), "and is aligned");

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int64_t greater(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* A non-negative decimal number, whole string; false when it is anything else. */
static bool read_number(const char *text, double *out) {
    size_t len = strlen(text);
    if (!is_digit(*text) || number_scan(text, len, true) != len) {
        return false;
    }
    *out = number_value(text, len);
    return true;
}

/* --- moments ---------------------------------------------------------------------------------- */

/* From `wall` to a moment given in seconds since 1970 and nanoseconds; 0 = it has passed. */
static int64_t time_until(int64_t seconds, int64_t fraction, int64_t wall) {
    if (seconds < 0) {
        return 0;
    }
    if (seconds >= HARDY_NEVER / HARDY_SECOND) {
        return HARDY_NEVER;
    }
    int64_t at = seconds * HARDY_SECOND + fraction;
    return at > wall ? at - wall : 0;
}

/* As Go writes it, which has a sign of its own for the microsecond: 6m0s, 1h2m3.5s, 250\xc2\xb5s.
 */
static bool read_go_duration(const char *text, int64_t *out) {
    char copy[64];
    size_t len = 0;
    for (; *text; text++, len++) {
        if (len == sizeof copy - 1) {
            return false;
        }
        copy[len] = *text;
        if (strncmp(text, "\xc2\xb5", 2) == 0 || strncmp(text, "\xce\xbc", 2) == 0) {
            copy[len] = 'u';
            text++;
        }
    }
    copy[len] = '\0';
    return parse_duration(copy, out, NULL) == HARDY_OK;
}

/* No limit is reset only after decades, and no clock stands in the first days of 1970. */
#define LEAST_UNIX_SECONDS 1e9
#define LEAST_UNIX_MILLISECONDS 1e11

static int64_t until_number(double value, int64_t wall) {
    if (value <= LEAST_UNIX_SECONDS) {
        return time_scale(HARDY_SECOND, value);
    }
    int64_t unit = value > LEAST_UNIX_MILLISECONDS ? HARDY_MILLISECOND : HARDY_SECOND;
    int64_t at = time_scale(unit, value);
    return time_until(at / HARDY_SECOND, at % HARDY_SECOND, wall);
}

static bool read_reset(const char *text, int64_t wall, int64_t *out) {
    double value;
    int64_t seconds, fraction;
    if (read_number(text, &value)) {
        *out = until_number(value, wall);
        return true;
    }
    if (date_read_rfc3339(text, &seconds, &fraction)) {
        *out = time_until(seconds, fraction, wall);
        return true;
    }
    return read_go_duration(text, out);
}

int64_t retry_after_reset(const char *value, int64_t wall) {
    int64_t span;
    return read_reset(value, wall, &span) ? span : 0;
}

static bool read_retry_after(const char *text, int64_t wall, int64_t *out) {
    double value;
    int64_t seconds;
    if (read_number(text, &value)) {
        *out = time_scale(HARDY_SECOND, value);
        return true;
    }
    if (!date_read_http(text, wall, &seconds)) {
        return false;
    }
    *out = time_until(seconds, 0, wall);
    return true;
}

static bool read_milliseconds(const char *text, int64_t *out) {
    double value;
    if (!read_number(text, &value)) {
        return false;
    }
    *out = time_scale(HARDY_MILLISECOND, value);
    return true;
}

/* --- RateLimit: a structured field (RFC 9651) ------------------------------------------------- */

#define BLANKS " \t"
#define KEY "abcdefghijklmnopqrstuvwxyz0123456789_-.*"

/* What one policy says; -1 = not told. */
struct policy {
    double remaining, reset;
};

/* A bare item that says nothing to us. False: its quotes or colons are not closed. */
static bool skip_item(const char **at) {
    char quote = **at;
    if (quote != '"' && quote != ':') {
        *at += strcspn(*at, ",; \t");
        return true;
    }
    for ((*at)++; **at && **at != quote; (*at)++) {
        if (**at == '\\' && (*at)[1]) {
            (*at)++;
        }
    }
    return *(*at)++ == quote;
}

/* The value behind a key's "=" goes to the member of `policy` that has such a key. */
static bool read_member(const char **at, const char *key, size_t len, struct policy *policy) {
    static const struct {
        const char *key;
        size_t member;
    } members[] = {{"r", offsetof(struct policy, remaining)},
                   {"remaining", offsetof(struct policy, remaining)},
                   {"t", offsetof(struct policy, reset)},
                   {"reset", offsetof(struct policy, reset)}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strlen(members[i].key) == len && strncmp(members[i].key, key, len) == 0) {
            size_t digits = strspn(*at, "0123456789");
            if (digits == 0 || digits > 15 || strcspn(*at, ",; \t") != digits) {
                return false;
            }
            double value = number_value(*at, digits);
            memcpy((char *)policy + members[i].member, &value, sizeof value);
            *at += digits;
            return true;
        }
    }
    return skip_item(at);
}

/* ";r=0;t=30" */
static bool read_parameters(const char **at, struct policy *policy) {
    for (;;) {
        const char *next = *at + strspn(*at, BLANKS);
        if (*next != ';') {
            return true;
        }
        *at = next + 1 + strspn(next + 1, " ");
        const char *key = *at;
        size_t len = strspn(key, KEY);
        *at += len;
        if (len == 0 || (**at == '=' && ((*at)++, !read_member(at, key, len, policy)))) {
            return false;
        }
    }
}

/* The latest reset of a policy of which nothing remains. */
static bool read_ratelimit(const char *at, int64_t *out) {
    const struct policy unknown = {-1, -1};
    struct policy whole = unknown; /* of the older forms, whose members all speak of one */
    double longest = 0;
    at += strspn(at, BLANKS);
    for (;;) {
        struct policy one = unknown;
        const char *key = at;
        size_t len = strspn(key, KEY);
        bool member = len > 0 && key[len] == '=';
        at += member ? len + 1 : 0;
        if (*at == '\0' || *at == ',' || *at == ';' ||
            !(member ? read_member(&at, key, len, &whole) : skip_item(&at)) ||
            !read_parameters(&at, &one)) {
            return false;
        }
        if (!member && one.remaining == 0 && one.reset > longest) {
            longest = one.reset;
        }
        at += strspn(at, BLANKS);
        if (*at == '\0') {
            break;
        }
        if (*at++ != ',') {
            return false;
        }
        at += strspn(at, BLANKS);
    }
    if (whole.remaining == 0 && whole.reset > longest) {
        longest = whole.reset;
    }
    *out = time_scale(HARDY_SECOND, longest);
    return true;
}

/* --- the pairs of a limit's headers ----------------------------------------------------------- */

enum word { NO_WORD, REMAINING, RESET };

/* Which of the two words stands in such a name; *name is the same for both of a pair. */
static enum word read_name(const char *text, uint64_t *name) {
    const uint64_t prime = UINT64_C(0x100000001b3);
    enum word found = NO_WORD;
    *name = UINT64_C(0xcbf29ce484222325);
    if (!strcasestr(text, "ratelimit-") && !strcasestr(text, "rate-limit-")) {
        return NO_WORD;
    }
    for (size_t len; *text; text += len + (text[len] == '-')) {
        len = strcspn(text, "-");
        if (len == strlen("remaining") && strncasecmp(text, "remaining", len) == 0) {
            found = REMAINING;
        } else if (len == strlen("reset") && strncasecmp(text, "reset", len) == 0) {
            found = RESET;
        } else if (found != RESET || strcasecmp(text, "after") != 0) {
            for (size_t i = 0; i <= len; i++) { /* FNV-1a, with a "-" behind each word */
                unsigned char c = i < len ? (unsigned char)text[i] : '-';
                *name = (*name ^ (c >= 'A' && c <= 'Z' ? c + 32U : c)) * prime;
            }
        }
    }
    *name += *name == 0;
    return found;
}

static struct limit *find_limit(struct told *t, uint64_t name) {
    for (size_t i = 0; i < LIMITS; i++) {
        if (t->limits[i].name == name || t->limits[i].name == 0) {
            t->limits[i].name = name;
            return &t->limits[i];
        }
    }
    return NULL;
}

static bool read_pair(struct told *t, const char *text, const char *value, int64_t wall) {
    uint64_t name;
    double left = 0;
    int64_t reset = 0;
    enum word word = read_name(text, &name);
    if (word == NO_WORD ||
        !(word == RESET ? read_reset(value, wall, &reset) : read_number(value, &left))) {
        return false;
    }
    struct limit *limit = find_limit(t, name);
    if (limit && word == RESET) {
        limit->reset = greater(limit->reset, reset);
    } else if (limit) {
        limit->used_up = left < 1;
    }
    return limit != NULL;
}

/* --- one answer ------------------------------------------------------------------------------- */

void hardy_retry_after_init(hardy_retry_after *told, size_t size) {
    memset(told, 0, size);
}

bool hardy_retry_after_header(hardy_retry_after *told, const char *name, const char *value,
                              int64_t wall) {
    struct told *t = (struct told *)told;
    enum source source = strcasecmp(name, "retry-after") == 0           ? RETRY_AFTER
                         : strcasecmp(name, "retry-after-ms") == 0      ? MILLISECONDS
                         : strcasecmp(name, "x-ms-retry-after-ms") == 0 ? MILLISECONDS
                         : strcasecmp(name, "retryDelay") == 0          ? RETRY_INFO
                                                                        : NOBODY;
    int64_t wait = 0;
    if (source == NOBODY && strcasecmp(name, "ratelimit") == 0) {
        bool read = read_ratelimit(value, &wait);
        t->ratelimit = read ? greater(t->ratelimit, wait) : t->ratelimit;
        return read;
    }
    if (source == NOBODY) {
        return read_pair(t, name, value, wall);
    }
    if (!(source == MILLISECONDS  ? read_milliseconds(value, &wait)
          : source == RETRY_AFTER ? read_retry_after(value, wall, &wait)
                                  : parse_duration(value, &wait, NULL) == HARDY_OK)) {
        return false;
    }
    if (source > t->source) {
        t->wait = 0;
        t->source = source;
    }
    t->wait = source == t->source ? greater(t->wait, wait) : t->wait;
    return true;
}

int64_t hardy_retry_after_wait(const hardy_retry_after *told, int status) {
    const struct told *t = (const struct told *)told;
    int64_t wait = t->wait;
    if (t->source == NOBODY && (status == 429 || status == 503 || status == 529)) {
        wait = t->ratelimit;
        for (size_t i = 0; i < LIMITS; i++) {
            wait = t->limits[i].used_up ? greater(wait, t->limits[i].reset) : wait;
        }
    }
    return wait < HARDY_RETRY_AFTER_MAX ? wait : HARDY_RETRY_AFTER_MAX;
}
