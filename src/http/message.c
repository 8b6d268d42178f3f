/* SPDX-License-Identifier: Apache-2.0 */
#include "http/message.h"
#include <hardy/retry_after.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void http_headers_init(struct http_headers *h, size_t max_count, size_t max_bytes) {
    *h = (struct http_headers){.max_count = max_count};
    buf_init(&h->bytes, max_bytes);
}

void http_headers_free(struct http_headers *h) {
    buf_free(&h->bytes);
    free(h->fields);
    h->fields = NULL;
    h->count = h->cap = 0;
}

void http_headers_reset(struct http_headers *h) {
    buf_reset(&h->bytes);
    h->count = 0;
}

/* Letters, digits and !#$%&'*+-.^_`|~ , a bit for each of 128 characters. */
static bool is_token_byte(unsigned char c) {
    static const uint32_t allowed[4] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
    return c < 128 && (allowed[c / 32] >> (c % 32) & 1) != 0;
}

bool http_is_token(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (!is_token_byte((unsigned char)text[i])) {
            return false;
        }
    }
    return len > 0;
}

static bool is_value(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool grow_fields(struct http_headers *h, size_t cap) {
    struct http_field *fields = realloc(h->fields, cap * sizeof *fields);
    if (!fields) {
        return false;
    }
    h->fields = fields;
    h->cap = cap;
    return true;
}

void http_headers_reserve(struct http_headers *h, size_t count, size_t bytes) {
    size_t free_bytes = h->bytes.max - h->bytes.len;
    if (count > h->cap && count <= h->max_count) {
        (void)grow_fields(h, count);
    }
    if (bytes <= free_bytes && !buf_reserve(&h->bytes, bytes)) {
        h->bytes.failed = false;
    }
}

hardy_status http_headers_addn(struct http_headers *h, const char *name, size_t name_len,
                               const char *value, size_t value_len) {
    while (value_len > 0 && is_blank(*value)) {
        value++;
        value_len--;
    }
    while (value_len > 0 && is_blank(value[value_len - 1])) {
        value_len--;
    }
    if (!http_is_token(name, name_len) || !is_value(value, value_len)) {
        return HARDY_E_INVALID;
    }
    if (h->count >= h->max_count || name_len + value_len + 2 > h->bytes.max - h->bytes.len) {
        return HARDY_E_TOO_LARGE;
    }
    if (h->count == h->cap && !grow_fields(h, h->cap ? h->cap * 2 : 16)) {
        return HARDY_E_NOMEM;
    }
    size_t start = h->bytes.len;
    char *text = buf_extend(&h->bytes, name_len + value_len + 2);
    if (!text) {
        h->bytes.failed = false;
        return HARDY_E_NOMEM;
    }
    memcpy(text, name, name_len);
    text[name_len] = '\0';
    memcpy(text + name_len + 1, value, value_len);
    text[name_len + 1 + value_len] = '\0';
    h->fields[h->count++] = (struct http_field){.name = start, .value = start + name_len + 1};
    return HARDY_OK;
}

hardy_status http_headers_copy(struct http_headers *to, const struct http_headers *from) {
    http_headers_reset(to);
    if (from->count > to->max_count || from->bytes.len > to->bytes.max) {
        return HARDY_E_TOO_LARGE;
    }
    if (from->count > to->cap) {
        struct http_field *fields = realloc(to->fields, from->count * sizeof *fields);
        if (!fields) {
            return HARDY_E_NOMEM;
        }
        to->fields = fields;
        to->cap = from->count;
    }
    if (!buf_append(&to->bytes, from->bytes.data, from->bytes.len)) {
        to->bytes.failed = false;
        return HARDY_E_NOMEM;
    }
    if (from->count > 0) {
        memcpy(to->fields, from->fields, from->count * sizeof *from->fields);
    }
    to->count = from->count;
    return HARDY_OK;
}

hardy_status http_headers_add(struct http_headers *h, const char *name, const char *value) {
    return http_headers_addn(h, name, strlen(name), value, strlen(value));
}

const char *http_headers_name_at(const struct http_headers *h, size_t i) {
    return h->bytes.data + h->fields[i].name;
}

const char *http_headers_value_at(const struct http_headers *h, size_t i) {
    return h->bytes.data + h->fields[i].value;
}

/* Names of other lengths, nearly all of them, are not even looked at. */
static bool is_named(const struct http_headers *h, size_t i, const char *name, size_t len) {
    return h->fields[i].value - h->fields[i].name - 1 == len &&
           strncasecmp(http_headers_name_at(h, i), name, len) == 0;
}

const char *http_headers_get(const struct http_headers *h, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < h->count; i++) {
        if (is_named(h, i, name, len)) {
            return http_headers_value_at(h, i);
        }
    }
    return NULL;
}

size_t http_headers_count(const struct http_headers *h, const char *name) {
    size_t found = 0, len = strlen(name);
    for (size_t i = 0; i < h->count; i++) {
        found += is_named(h, i, name, len);
    }
    return found;
}

static bool lists_token(const char *value, const char *token) {
    size_t token_len = strlen(token);
    while (*value) {
        value += strspn(value, ", \t");
        size_t len = strcspn(value, ",");
        size_t word = len;
        while (word > 0 && is_blank(value[word - 1])) {
            word--;
        }
        if (word == token_len && strncasecmp(value, token, word) == 0) {
            return true;
        }
        value += len;
    }
    return false;
}

bool http_headers_has_token(const struct http_headers *h, const char *name, const char *token) {
    size_t len = strlen(name);
    for (size_t i = 0; i < h->count; i++) {
        if (is_named(h, i, name, len) && lists_token(http_headers_value_at(h, i), token)) {
            return true;
        }
    }
    return false;
}

bool http_header_write(struct buf *out, const char *name, const char *value) {
    return buf_puts(out, name) && buf_append(out, ": ", 2) && buf_puts(out, value) &&
           buf_append(out, "\r\n", 2);
}

bool http_headers_write_at(const struct http_headers *h, size_t i, struct buf *out) {
    const struct http_field *f = &h->fields[i];
    size_t end = i + 1 < h->count ? h->fields[i + 1].name : h->bytes.len;
    size_t name_len = f->value - f->name - 1, value_len = end - f->value - 1;
    char *line = buf_extend(out, name_len + value_len + 4);
    if (!line) {
        return false;
    }
    memcpy(line, h->bytes.data + f->name, name_len);
    memcpy(line + name_len, ": ", 2);
    memcpy(line + name_len + 2, h->bytes.data + f->value, value_len);
    memcpy(line + name_len + 2 + value_len, "\r\n", 2);
    return true;
}

bool http_headers_write(const struct http_headers *h, struct buf *out) {
    for (size_t i = 0; i < h->count; i++) {
        if (!http_headers_write_at(h, i, out)) {
            return false;
        }
    }
    return true;
}

bool http_number_write(struct buf *out, uint64_t number) {
    char digits[20]; /* 2^64 - 1 has so many */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return buf_append(out, digits + at, sizeof digits - at);
}

struct word {
    const char *text;
    size_t len;
};
#define WORD(text)                                                                                 \
    { text, sizeof(text) - 1 }

bool http_is_framing(const char *name) {
    static const struct word framing[] = {WORD("connection"), WORD("content-length"),
                                          WORD("keep-alive"), WORD("te"),
                                          WORD("trailer"),    WORD("transfer-encoding"),
                                          WORD("upgrade"),    WORD("proxy-connection")};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++) {
        if (framing[i].len == len && strcasecmp(framing[i].text, name) == 0) {
            return true;
        }
    }
    return false;
}

bool http_is_idempotent(const char *method) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

const char *http_status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {303, "See Other"},
                 {304, "Not Modified"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {402, "Payment Required"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {406, "Not Acceptable"},
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {410, "Gone"},
                 {411, "Length Required"},
                 {412, "Precondition Failed"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {425, "Too Early"},
                 {428, "Precondition Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"},
                 {529, "Overloaded"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return "";
}

int64_t http_retry_after(const struct http_headers *h, int status, int64_t wall) {
    hardy_retry_after told;
    hardy_retry_after_init(&told, sizeof told);
    for (size_t i = 0; i < h->count; i++) {
        hardy_retry_after_header(&told, http_headers_name_at(h, i), http_headers_value_at(h, i),
                                 wall);
    }
    return hardy_retry_after_wait(&told, status);
}
