/* SPDX-License-Identifier: Apache-2.0 */
#include "health/speak.h"
#include "base/number.h"
#include "base/str.h"
#include "config/template.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void say(struct heard *out, enum check_result result, const char *text, size_t len) {
    out->result = result;
    snprintf(out->message, sizeof out->message, "%.*s", len > 150 ? 150 : (int)len, text);
}

static void say_text(struct heard *out, enum check_result result, const char *text) {
    say(out, result, text, strlen(text));
}

/* --- Redis (RESP) ----------------------------------------------------------------------------- */

static void put_bulk(struct buf *out, const char *text, size_t len) {
    buf_printf(out, "$%zu\r\n", len);
    buf_append(out, text, len);
    buf_puts(out, "\r\n");
}

void redis_ask(const struct check_redis *c, const char *password, size_t len, struct buf *out) {
    if (password) { /* counted, for a password may hold blanks and quotes */
        buf_puts(out, c->user ? "*3\r\n$4\r\nAUTH\r\n" : "*2\r\n$4\r\nAUTH\r\n");
        if (c->user)
            put_bulk(out, c->user, strlen(c->user));
        put_bulk(out, password, len);
    }
    buf_puts(out, "PING\r\n");
}

/* The answers whose cause is the check's own: they say nothing about the server. */
static bool is_refused(const char *line) {
    return str_starts(line, "-NOAUTH") || str_starts(line, "-WRONGPASS") ||
           str_starts(line, "-NOPERM") || str_starts(line, "-ERR invalid password") ||
           str_starts(line, "-ERR AUTH") || str_starts(line, "-ERR Client sent AUTH");
}

bool redis_hear(const char *data, size_t len, bool authenticated, struct heard *out) {
    const char *end = memchr(data, '\n', len);
    if (end && authenticated && str_starts(data, "+OK")) {
        len -= (size_t)(end + 1 - data);
        data = end + 1;
        end = memchr(data, '\n', len);
    }
    if (!end)
        return false;
    size_t line = (size_t)(end - data);
    line -= line > 0 && data[line - 1] == '\r';
    if (str_starts(data, "+PONG"))
        say_text(out, CHECK_PASS, "answered PONG");
    else if (is_refused(data))
        say(out, CHECK_UNKNOWN, data + 1, line - 1);
    else if (data[0] == '-') /* LOADING, MASTERDOWN, MISCONF, BUSY, too many clients ... */
        say(out, CHECK_FAIL, data + 1, line - 1);
    else
        say_text(out, CHECK_FAIL, "what answers there is not Redis");
    return true;
}

/* --- PostgreSQL (protocol 3.0) ---------------------------------------------------------------- */

static void put_number(struct buf *out, uint32_t value) {
    const unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                    (unsigned char)(value >> 8), (unsigned char)value};
    buf_append(out, bytes, sizeof bytes);
}

static uint32_t get_number(const char *at) {
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void postgresql_ask(const struct check_postgresql *c, struct buf *out) {
    const char *const words[] = {"user", c->user, "database", c->database, "application_name",
                                 "hardy"};
    size_t len = 9; /* the length itself, the version, the end */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        len += strlen(words[i]) + 1;
    put_number(out, (uint32_t)len);
    put_number(out, UINT32_C(3) << 16);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        buf_append(out, words[i], strlen(words[i]) + 1);
    buf_putc(out, '\0');
}

/* The field of an error whose letter it is; "" when there is none. */
static const char *error_field(const char *at, const char *end, char letter) {
    while (at < end && *at) {
        const char *text = at + 1, *close = memchr(text, '\0', (size_t)(end - text));
        if (!close)
            break;
        if (*at == letter)
            return text;
        at = close + 1;
    }
    return "";
}

/* 57P03: it starts, stops or recovers. Class 53: no connections, memory, disk left. Any other error
 * (no such user, no such database, not from this host) comes from a server that works. */
static void judge_error(const char *at, const char *end, struct heard *out) {
    const char *code = error_field(at, end, 'C'), *message = error_field(at, end, 'M');
    bool bad = str_eq(code, "57P03") || str_starts(code, "53");
    if (!*code)
        say_text(out, CHECK_FAIL, "what answers there is not PostgreSQL");
    else if (bad)
        snprintf(out->message, sizeof out->message, "%.150s (%s)", message, code);
    else
        snprintf(out->message, sizeof out->message, "takes connections: %.150s (%s)", message,
                 code);
    out->result = bad || !*code ? CHECK_FAIL : CHECK_PASS;
}

bool postgresql_hear(const char *data, size_t len, struct heard *out) {
    enum { HEAD = 5, MAX = 1 << 16 };
    if (len > 0 && data[0] != 'R' && data[0] != 'E' && data[0] != 'v') {
        say_text(out, CHECK_FAIL, "what answers there is not PostgreSQL");
        return true;
    }
    if (len < HEAD)
        return false;
    uint32_t size = get_number(data + 1);
    if (size < 4 || size > MAX) {
        say_text(out, CHECK_FAIL, "what answers there is not PostgreSQL");
        return true;
    }
    if (data[0] != 'E') { /* it asks who is there, or for another version */
        say_text(out, CHECK_PASS, "takes connections");
        return true;
    }
    if (len < 1 + (size_t)size)
        return false;
    judge_error(data + HEAD, data + 1 + size, out);
    return true;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static bool read_number(const char *text, size_t len, double *out) {
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    while (len > 0 && strchr(" \t\r\n", *text)) {
        text++;
        len--;
    }
    if (len == 0 || number_scan(text, len, true) != len)
        return false;
    *out = number_value(text, len);
    return isfinite(*out);
}

static bool read_json(const char *path, const char *text, size_t len, double *out) {
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY, NULL);
    const json_t *value = root ? template_walk(root, path) : NULL;
    bool good = json_is_number(value);
    if (good)
        *out = json_number_value(value);
    else if (json_is_string(value)) /* as Prometheus and many others write them */
        good = read_number(json_string_value(value), json_string_length(value), out);
    json_decref(root);
    return good;
}

void number_hear(const struct check_number *c, const char *text, size_t len, struct heard *out) {
    double value;
    char shown[NUMBER_TEXT];
    bool good = c->json ? read_json(c->json, text, len, &value) : read_number(text, len, &value);
    if (!good) {
        int shown_len = len > 60 ? 60 : (int)len;
        out->result = CHECK_UNKNOWN;
        if (c->json)
            snprintf(out->message, sizeof out->message, "no number at %.60s in `%.*s`", c->json,
                     shown_len, text);
        else
            snprintf(out->message, sizeof out->message, "`%.*s` is not a number", shown_len, text);
        return;
    }
    number_format(value, shown);
    bool high = c->has_below && !(value < c->below), low = c->has_above && !(value > c->above);
    out->result = high || low ? CHECK_FAIL : CHECK_PASS;
    if (high || low)
        snprintf(out->message, sizeof out->message, "%s, not %s %g", shown,
                 high ? "below" : "above", high ? c->below : c->above);
    else
        str_copy(out->message, sizeof out->message, shown);
}
