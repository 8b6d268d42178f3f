/* SPDX-License-Identifier: Apache-2.0 */
#include "work/http_step.h"
#include "base/clock.h"
#include "base/date.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "config/template.h"
#include "http/fetch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RANGES_MAX = 32, EXCERPT = 1000, HEADER_BYTES_MAX = 64 << 10 };
static const int64_t max_output = 4 << 20, largest_output = 64 << 20;
static const int64_t connect_limit = 30 * HARDY_SECOND, silence = 5 * HARDY_MINUTE;
/* The shim ends us at the deadline; what is known has to be said before. */
static const int64_t margin = 500 * HARDY_MILLISECOND;

struct range {
    int low, high;
};
struct http_step {
    struct loop *loop;
    struct step_answer *answer;
    const char *method;
    struct http_url url;
    struct http_headers headers;
    struct buf body;
    struct range expected[RANGES_MAX];
    size_t expected_count;
    size_t max_output;
    const char *ca_file;
    char what[300]; /* "POST https://host/path" */
    struct http_call_options options;
    bool over;
};

/* --- the request ------------------------------------------------------------------------------ */

static bool refuse(struct http_step *s, const char *format, ...) HARDY_PRINTF(2, 3);
static bool refuse(struct http_step *s, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    step_answer_fail(s->answer, STEP_CODE_FAILED, "http: %s", text);
    return false;
}

static bool no_memory(struct http_step *s) {
    step_answer_fail(s->answer, STEP_CODE_PASSING, "http: no memory for a request");
    return false;
}

/* What is wrong with a URL is told without what may be secret in it. */
static bool read_url(struct http_step *s, const char *text) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!str_starts(text, "http://") && !str_starts(text, "https://")) {
        return refuse(s, "`url` begins with http:// or https://");
    }
    if (http_url_parse(text, &s->url, &error) != HARDY_OK) {
        char *shown = str_ndup(text, strcspn(text, "?#"));
        struct http_url unused;
        if (shown && http_url_parse(shown, &unused, &error) == HARDY_OK) {
            http_url_free(&unused);
            refuse(s, "`url`: what follows \"?\" holds a character that has to be written as %%XX, "
                      "or a \"#\"");
        } else {
            refuse(s, "`url`: %s", error.message);
        }
        free(shown);
        return false;
    }
    char authority[HTTP_AUTHORITY_SIZE];
    http_authority_format(&s->url.authority, http_url_default_port(&s->url), authority);
    int path = (int)strcspn(s->url.target, "?");
    snprintf(s->what, sizeof s->what, "%s %s://%s%.*s", s->method, s->url.tls ? "https" : "http",
             authority, path < 150 ? path : 150, s->url.target);
    return true;
}

static bool add_header(struct http_step *s, const char *name, const char *value) {
    hardy_status status = http_headers_add(&s->headers, name, value);
    if (status == HARDY_E_NOMEM) {
        return no_memory(s);
    }
    return status == HARDY_OK ||
           refuse(s,
                  status == HARDY_E_TOO_LARGE
                      ? "`headers`: the header %.80s is one too many, or they are too long"
                      : "`headers`: %.80s is no header's name, or its value holds a control "
                        "character",
                  name);
}

static bool read_headers(struct http_step *s, json_t *headers) {
    const char *name;
    json_t *value;
    if (headers && !json_is_object(headers)) {
        return refuse(s, "`headers` is an object of texts");
    }
    json_object_foreach(headers, name, value) {
        if (!json_is_string(value)) {
            return refuse(s, "`headers`: the value of %.80s is a text", name);
        }
        if (http_is_framing(name) || strcasecmp(name, "host") == 0) {
            return refuse(s, "`headers`: %.80s is written by hardy itself; leave it out", name);
        }
        if (!add_header(s, name, json_string_value(value))) {
            return false;
        }
    }
    return true;
}

/* Of a key that RFC 8941 has no String for, its hash: as good for telling calls apart. */
static bool add_key(struct http_step *s, const char *key) {
    char hash[65];
    struct buf text;
    bool plain = true;
    for (const char *c = key; *c; c++) {
        plain = plain && *c >= ' ' && *c < 0x7f;
    }
    if (!plain) {
        sha256_hex(key, strlen(key), hash);
        key = hash;
    }
    buf_init(&text, HEADER_BYTES_MAX);
    buf_putc(&text, '"');
    for (const char *c = key; *c; c++) {
        if (*c == '"' || *c == '\\') {
            buf_putc(&text, '\\');
        }
        buf_putc(&text, *c);
    }
    buf_putc(&text, '"');
    bool ok = text.failed ? no_memory(s) : add_header(s, "idempotency-key", text.data);
    buf_free(&text);
    return ok;
}

/* What the request has not said itself. */
static bool complete_headers(struct http_step *s, bool json, const char *key) {
    bool keyed = str_eq(s->method, "POST") || str_eq(s->method, "PATCH");
    return (http_headers_get(&s->headers, "user-agent") ||
            add_header(s, "user-agent", "hardy/" HARDY_VERSION)) &&
           (!json || http_headers_get(&s->headers, "content-type") ||
            add_header(s, "content-type", "application/json")) &&
           (!keyed || !key || !*key || http_headers_get(&s->headers, "idempotency-key") ||
            add_key(s, key));
}

/* Three digits; 0 when they are no status. */
static int read_status(const char *text) {
    if (strspn(text, "0123456789") < 3) {
        return 0;
    }
    int status = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    return status >= 100 && status <= 599 ? status : 0;
}

/* 204, "204", "2xx", "200-204" */
static bool read_range(json_t *value, struct range *out) {
    const char *text = json_string_value(value);
    if (json_is_integer(value)) {
        json_int_t code = json_integer_value(value);
        out->low = out->high = (int)code;
        return code >= 100 && code <= 599;
    }
    if (text && text[0] >= '1' && text[0] <= '5' && strcasecmp(text + 1, "xx") == 0) {
        out->low = (text[0] - '0') * 100;
        out->high = out->low + 99;
        return true;
    }
    size_t len = text ? strlen(text) : 0;
    if (len != 3 && !(len == 7 && text[3] == '-')) {
        return false;
    }
    out->low = read_status(text);
    out->high = read_status(text + len - 3);
    return out->low > 0 && out->low <= out->high;
}

static bool read_expected(struct http_step *s, json_t *list) {
    size_t index;
    json_t *value;
    if (!list) {
        s->expected[0] = (struct range){200, 299};
        s->expected_count = 1;
        return true;
    }
    if (json_array_size(list) == 0 || json_array_size(list) > RANGES_MAX) {
        return refuse(s, "`expect` is a list of 1 to %d statuses", RANGES_MAX);
    }
    json_array_foreach(list, index, value) {
        if (!read_range(value, &s->expected[s->expected_count++])) {
            return refuse(s, "`expect`: statuses are such as 204, \"2xx\" and \"200-204\"");
        }
    }
    return true;
}

static bool read_body(struct http_step *s, const char *text, size_t len, json_t *json) {
    if (text && json) {
        return refuse(s, "`body` and `json` cannot stand together");
    }
    buf_init(&s->body, STEP_REQUEST_MAX);
    if (json) {
        template_put_json(json, &s->body);
    } else if (text) {
        buf_append(&s->body, text, len);
    }
    return !s->body.failed || no_memory(s);
}

static bool read_request(struct http_step *s, json_t *request, const char *key) {
    const char *url, *body = NULL;
    size_t body_len = 0;
    json_t *headers = NULL, *json = NULL, *expect = NULL;
    json_int_t most = max_output;
    json_error_t why;
    s->method = "GET";
    if (json_unpack_ex(request, &why, 0, "{s?:s, s:s, s?:o, s?:s%, s?:o, s?:o, s?:I, s?:s !}",
                       "method", &s->method, "url", &url, "headers", &headers, "body", &body,
                       &body_len, "json", &json, "expect", &expect, "max_output", &most, "ca_file",
                       &s->ca_file) != 0) {
        return refuse(s, "the request: %s", why.text);
    }
    if (!http_is_token(s->method, strlen(s->method)) || strlen(s->method) > 40) {
        return refuse(s, "`method` is a word such as GET or POST");
    }
    if (most < 0 || most > largest_output) {
        return refuse(s, "`max_output` is 0 to %lld bytes", (long long)largest_output);
    }
    s->max_output = (size_t)most;
    return read_url(s, url) && read_headers(s, headers) && read_expected(s, expect) &&
           read_body(s, body, body_len, json) && complete_headers(s, json != NULL, key);
}

/* False when it has passed. HARDY_DEADLINE is of the wall clock; the shim holds it on a steadier
 * one. */
static bool set_deadline(struct http_step *s, const char *deadline) {
    s->options.connect_limit = connect_limit;
    if (!deadline || !*deadline) {
        s->options.first_limit = s->options.idle_limit = silence;
        return true;
    }
    int64_t at;
    if (!date_read_wall(deadline, &at)) {
        return refuse(s, "HARDY_DEADLINE \"%.40s\" is not a time such as 2026-11-28T16:04:05Z",
                      deadline);
    }
    int64_t left = at - loop_wall(s->loop);
    left -= left / 5 < margin ? left / 5 : margin;
    if (left <= 0) {
        step_answer_fail(s->answer, STEP_CODE_PASSING,
                         "%s: the deadline passed before anything was sent", s->what);
        return false;
    }
    s->options.deadline = time_add(loop_now(s->loop), left);
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Without an effect by its meaning: the far side may be asked again whatever happened. */
static bool is_safe(const char *method) {
    return str_eq(method, "GET") || str_eq(method, "HEAD") || str_eq(method, "OPTIONS") ||
           str_eq(method, "TRACE");
}

static int doubt(const struct http_step *s) {
    return is_safe(s->method) ? STEP_CODE_PASSING : STEP_CODE_UNKNOWN;
}

static bool is_expected(const struct http_step *s, int status) {
    for (size_t i = 0; i < s->expected_count; i++) {
        if (status >= s->expected[i].low && status <= s->expected[i].high) {
            return true;
        }
    }
    return false;
}

/* The table of http_step.h, for a status that was not expected. */
static int judge_status(const struct http_step *s, const struct http_fetched *f) {
    switch (f->status) {
    case 408:
    case 425:
    case 429:
    case 503:
    case 529:
        return STEP_CODE_PASSING;
    case 409:
        return f->retry_after > 0 ? STEP_CODE_PASSING : STEP_CODE_FAILED;
    case 501:
    case 505:
        return STEP_CODE_FAILED;
    default:
        return f->status >= 500 ? doubt(s) : STEP_CODE_FAILED;
    }
}

/* The beginning of an answer's body, without half a character. */
static size_t excerpt(const struct http_fetched *f) {
    size_t len = f->body_len < EXCERPT ? f->body_len : EXCERPT;
    for (size_t back = 0; back < 4 && len > back && f->body_len > len; back++) {
        if (((unsigned char)f->body[len - back] & 0xc0) != 0x80) {
            return len - back;
        }
    }
    return len;
}

static void put_failure(struct http_step *s, const struct http_fetched *f) {
    struct json_out j;
    json_out_init(&j, &s->answer->output, 0);
    json_out_object(&j);
    json_out_member_string(&j, "error", s->answer->message);
    if (f->status > 0) {
        json_out_member_count(&j, "status", (uint64_t)f->status);
    }
    if (f->retry_after > 0) {
        int64_t up = f->retry_after / HARDY_MILLISECOND;
        json_out_member_count(&j, "retry_after_ms",
                              (uint64_t)(up + (f->retry_after % HARDY_MILLISECOND != 0)));
    }
    if (f->body_len > 0) {
        json_out_key(&j, "body");
        json_out_stringn(&j, f->body, excerpt(f));
    }
    json_out_object_end(&j);
    buf_putc(&s->answer->output, '\n');
}

static void no_answer(struct http_step *s, const struct http_fetched *f) {
    const char *why = http_fetched_why(f);
    if (f->facts.sent) {
        step_answer_fail(s->answer, doubt(s), "%s: sent, and no answer came: %s", s->what, why);
    } else if (f->reason == CLOSE_TLS) {
        step_answer_fail(s->answer, STEP_CODE_FAILED, "%s: nothing was sent: %s", s->what, why);
    } else {
        step_answer_fail(s->answer, STEP_CODE_PASSING, "%s: nothing was sent: %s", s->what, why);
    }
}

static void unexpected(struct http_step *s, const struct http_fetched *f) {
    const char *to = http_headers_get(f->headers, "location");
    int code = judge_status(s, f);
    if (f->status >= 300 && f->status < 400 && to) {
        step_answer_fail(s->answer, code,
                         "%s: answered %d %s to %.*s; redirects are not followed: give that "
                         "address as `url`, if it is the right one",
                         s->what, f->status, http_status_text(f->status), (int)strcspn(to, "?#"),
                         to);
        return;
    }
    step_answer_fail(s->answer, code, "%s: answered %d %s%s", s->what, f->status,
                     http_status_text(f->status),
                     code == STEP_CODE_UNKNOWN ? "; whether it acted before is not known" : "");
}

static void on_done(void *ctx, const struct http_fetched *f) {
    struct http_step *s = ctx;
    struct step_answer *a = s->answer;
    bool expected = f->status > 0 && is_expected(s, f->status);
    bool cut = f->reason == CLOSE_TOO_LARGE && f->body_len > s->max_output;
    if (s->over) {
        return;
    }
    s->over = true;
    if (expected && (f->complete || cut)) {
        a->code = STEP_CODE_DONE;
        buf_append(&a->output, f->body, f->body_len);
        if (f->body_len > s->max_output) {
            snprintf(a->message, sizeof a->message,
                     "%s: the answer has more than %zu bytes: its beginning is kept", s->what,
                     s->max_output);
        }
    } else {
        if (expected) {
            step_answer_fail(a, doubt(s), "%s: answered %d %s, and then broke off: %s", s->what,
                             f->status, http_status_text(f->status), http_fetched_why(f));
        } else if (f->status > 0) {
            unexpected(s, f);
        } else {
            no_answer(s, f);
        }
        put_failure(s, f);
    }
    loop_stop(s->loop);
}

/* --- from the request to the answer ------------------------------------------------------------
 */

static void send(struct http_step *s) {
    struct http_client_options options;
    struct http_fetch *fetch;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_client_options_init(&options);
    options.ca_file = s->ca_file;
    struct http_client *client = http_client_new(s->loop, &options, &error);
    s->options.method = s->method;
    s->options.url = &s->url;
    s->options.headers = &s->headers;
    s->options.body = s->body.data;
    s->options.body_len = s->body.len;
    s->options.borrow_body = true;
    hardy_status status = client ? http_fetch_start(client, &s->options, s->max_output + 1, on_done,
                                                    s, &fetch, &error)
                                 : HARDY_E_NOMEM;
    if (status == HARDY_OK) {
        loop_run(s->loop);
        if (!s->over) {
            step_answer_fail(s->answer, doubt(s), "%s: no answer came", s->what);
        }
    } else {
        step_answer_fail(s->answer,
                         hardy_status_class_of(status) == HARDY_CLASS_RETRY ? STEP_CODE_PASSING
                                                                            : STEP_CODE_FAILED,
                         "%s: %s", s->what, error.message);
    }
    s->over = true; /* what the client's end may still tell is of no interest */
    http_client_free(client);
}

void http_step(struct loop *loop, json_t *request, const struct step_given *given,
               struct step_answer *answer) {
    struct http_step s = {.loop = loop, .answer = answer};
    http_headers_init(&s.headers, HTTP_HEADERS_MAX, HEADER_BYTES_MAX);
    http_call_options_init(&s.options);
    if (read_request(&s, request, given->key) && set_deadline(&s, given->deadline)) {
        send(&s);
    }
    http_headers_free(&s.headers);
    http_url_free(&s.url);
    buf_free(&s.body);
}

bool http_step_retry_after(const char *output, size_t len, int64_t *span) {
    while (len > 0 && output[len - 1] == '\n') {
        len--;
    }
    size_t start = len;
    while (start > 0 && output[start - 1] != '\n') {
        start--;
    }
    json_t *line = json_loadb(output + start, len - start, 0, NULL);
    json_int_t wait = json_integer_value(json_object_get(line, "retry_after_ms"));
    json_decref(line);
    if (wait <= 0) {
        return false;
    }
    *span = time_scale(HARDY_MILLISECOND, (double)wait);
    return true;
}
