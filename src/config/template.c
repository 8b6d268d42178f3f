/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Pratt parser that computes while it parses. `live` is false where a value does not matter (the
 * right side of a decided && or ||, and everywhere in a check): then syntax is all that is looked
 * at.
 */
#include "config/template.h"
#include "base/error.h"
#include "base/json.h"
#include "base/number.h"
#include "base/parse.h"
#include "base/str.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 32
#define MAX_EXPRESSION 4096
#define MAX_PATH 512
#define MAX_NAMES 256

enum token {
    TOKEN_END, /* of the text, or }} */
    TOKEN_PATH,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_TRUE,
    TOKEN_FALSE,
    TOKEN_NULL,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NOT,
    TOKEN_OR,
    TOKEN_AND,
    TOKEN_EQUAL,
    TOKEN_UNEQUAL,
    TOKEN_LESS,
    TOKEN_LESS_EQUAL,
    TOKEN_GREATER,
    TOKEN_GREATER_EQUAL
};

struct parser {
    const char *start, *end; /* of the expression's text */
    const char *at;          /* behind the current token */
    enum token token;
    const char *from; /* where the current token starts */
    template_lookup lookup;
    template_known known;
    void *ctx;
    template_put put; /* NULL = values stand where their expressions stood */
    void *put_ctx;
    int depth;
    hardy_error *error;
    hardy_status status;
};

static const char white[] = " \t\r\n";

/* Bytes of the text to show: at most `most`, no half characters. */
static int excerpt(const char *from, const char *to, ptrdiff_t most) {
    const char *end = to - from > most ? from + most : to;
    while (end > from && end < to && ((unsigned char)*end & 0xc0) == 0x80) {
        end--;
    }
    return (int)(end - from);
}

/* --- refusing --------------------------------------------------------------------------------- */

static bool refuse(struct parser *p, const char *format, ...) HARDY_PRINTF(2, 3);
static bool refuse(struct parser *p, const char *format, ...) {
    if (p->status != HARDY_OK) {
        return false;
    }
    char message[sizeof p->error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const char *text = p->start;
    while (text < p->end && strchr(white, *text)) {
        text++;
    }
    const char *close = memmem(text, (size_t)(p->end - text), "}}", 2);
    int len = excerpt(text, close && close >= p->from ? close : p->end, 120);
    while (len > 0 && strchr(white, text[len - 1])) {
        len--;
    }
    p->status = fail(p->error, HARDY_E_SYNTAX, NULL, "%s, in `%.*s`", message, len, text);
    return false;
}

static bool no_memory(struct parser *p) {
    if (p->status == HARDY_OK) {
        p->status = fail(p->error, HARDY_E_NOMEM, NULL, "out of memory");
    }
    return false;
}

/* The current token as the user wrote it. */
static int token_length(const struct parser *p) {
    return excerpt(p->from, p->at, 60);
}

static bool refuse_token(struct parser *p, const char *expected) {
    return p->token == TOKEN_END
               ? refuse(p, "%s expected at the end", expected)
               : refuse(p, "%s expected, not `%.*s`", expected, token_length(p), p->from);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static bool letter(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static char peek(const struct parser *p, size_t ahead) {
    return (size_t)(p->end - p->at) > ahead ? p->at[ahead] : '\0';
}

/* letters, digits, _ and -, as names of steps have them */
static void skip_name(struct parser *p) {
    while (letter(peek(p, 0)) || digit(peek(p, 0)) || peek(p, 0) == '-') {
        p->at++;
    }
}

/* name ( .name | [number] )* */
static bool scan_path(struct parser *p) {
    skip_name(p);
    for (;;) {
        if (peek(p, 0) == '.') {
            p->at++;
            const char *name = p->at;
            skip_name(p);
            if (p->at == name) {
                return refuse(p, "a name expected after `%.*s`", token_length(p), p->from);
            }
        } else if (peek(p, 0) == '[') {
            p->at++;
            const char *number = p->at;
            while (digit(peek(p, 0))) {
                p->at++;
            }
            if (p->at == number || peek(p, 0) != ']') {
                return refuse(p, "a number and `]` expected after `%.*s`", token_length(p),
                              p->from);
            }
            p->at++;
        } else {
            return true;
        }
    }
}

static bool scan_word(struct parser *p) {
    static const struct {
        const char *word;
        enum token token;
    } words[] = {{"true", TOKEN_TRUE}, {"false", TOKEN_FALSE}, {"null", TOKEN_NULL}};
    if (!scan_path(p)) {
        return false;
    }
    p->token = TOKEN_PATH;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) == (size_t)(p->at - p->from) &&
            memcmp(words[i].word, p->from, strlen(words[i].word)) == 0) {
            p->token = words[i].token;
        }
    }
    return true;
}

/* Quotes are doubled inside: 'it''s'. */
static bool scan_string(struct parser *p) {
    char quote = *p->at++;
    for (;;) {
        if (p->at == p->end) {
            return refuse(p, "the text that starts with %c is not closed", quote);
        }
        if (*p->at++ == quote) {
            if (peek(p, 0) != quote) {
                break;
            }
            p->at++;
        }
    }
    p->token = TOKEN_STRING;
    return true;
}

static bool scan_operator(struct parser *p) {
    static const struct {
        const char *text;
        enum token token;
    } operators[] = {
        {"==", TOKEN_EQUAL},         {"!=", TOKEN_UNEQUAL}, {"<=", TOKEN_LESS_EQUAL},
        {">=", TOKEN_GREATER_EQUAL}, {"&&", TOKEN_AND},     {"||", TOKEN_OR},
        {"<", TOKEN_LESS},           {">", TOKEN_GREATER},  {"!", TOKEN_NOT},
        {"(", TOKEN_OPEN},           {")", TOKEN_CLOSE},
    };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        size_t len = strlen(operators[i].text);
        if ((size_t)(p->end - p->at) >= len && memcmp(p->at, operators[i].text, len) == 0) {
            p->at += len;
            p->token = operators[i].token;
            return true;
        }
    }
    char c = *p->at;
    const char *instead = c == '=' ? "; `==` compares" : c == '&' ? "; `&&` is and" : "";
    size_t size = str_utf8_length(p->at, (size_t)(p->end - p->at));
    return refuse(p, "`%.*s` means nothing here%s", (int)(size > 0 ? size : 1), p->at,
                  c == '|' ? "; `||` is or" : instead);
}

static bool advance(struct parser *p) {
    while (p->at < p->end && strchr(white, *p->at)) {
        p->at++;
    }
    p->from = p->at;
    char c = peek(p, 0);
    if (p->at == p->end || (c == '}' && peek(p, 1) == '}')) {
        p->token = TOKEN_END;
        return true;
    }
    if (letter(c)) {
        return scan_word(p);
    }
    if (c == '\'' || c == '"') {
        return scan_string(p);
    }
    size_t number = number_scan(p->at, (size_t)(p->end - p->at), false);
    if (number > 0) {
        p->at += number;
        p->token = TOKEN_NUMBER;
        return !letter(peek(p, 0)) && !digit(peek(p, 0))
                   ? true
                   : refuse(p, "a unit or a letter cannot follow the number `%.*s`",
                            token_length(p), p->from);
    }
    return scan_operator(p);
}

/* --- values ----------------------------------------------------------------------------------- */

static bool truth(const json_t *value) {
    return !(json_is_null(value) || json_is_false(value) ||
             (json_is_number(value) && json_number_value(value) == 0) ||
             (json_is_string(value) && json_string_length(value) == 0));
}

static const char *kind_text(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a truth value";
    }
}

static int compare_numbers(const json_t *a, const json_t *b) {
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    double x = json_number_value(a), y = json_number_value(b);
    return (x > y) - (x < y);
}

static int compare_texts(const json_t *a, const json_t *b) {
    size_t x = json_string_length(a), y = json_string_length(b);
    int order = memcmp(json_string_value(a), json_string_value(b), x < y ? x : y);
    return order != 0 ? order : (x > y) - (x < y);
}

static bool same_kind(const json_t *a, const json_t *b) {
    return json_typeof(a) == json_typeof(b) || (json_is_number(a) && json_is_number(b)) ||
           (json_is_boolean(a) && json_is_boolean(b));
}

static bool compute(struct parser *p, enum token op, const json_t *a, const json_t *b, bool *out) {
    bool equality = op == TOKEN_EQUAL || op == TOKEN_UNEQUAL;
    bool ordered =
        (json_is_number(a) && json_is_number(b)) || (json_is_string(a) && json_is_string(b));
    bool null = json_is_null(a) || json_is_null(b);
    if (equality ? !same_kind(a, b) && !null : !ordered) {
        return refuse(p, "%s cannot be compared with %s", kind_text(a), kind_text(b));
    }
    int order;
    if (ordered) {
        order = json_is_string(a) ? compare_texts(a, b) : compare_numbers(a, b);
    } else {
        order = !json_equal(a, b);
    }
    switch (op) {
    case TOKEN_EQUAL:
        *out = order == 0;
        break;
    case TOKEN_UNEQUAL:
        *out = order != 0;
        break;
    case TOKEN_LESS:
        *out = order < 0;
        break;
    case TOKEN_LESS_EQUAL:
        *out = order <= 0;
        break;
    case TOKEN_GREATER:
        *out = order > 0;
        break;
    default:
        *out = order >= 0;
        break;
    }
    return true;
}

/* --- paths ------------------------------------------------------------------------------------ */

/* The token's path with [0] written as .0 */
static bool copy_path(struct parser *p, char *out) {
    size_t len = 0;
    for (const char *c = p->from; c < p->at; c++) {
        if (*c == ']') {
            continue;
        }
        if (len + 1 == MAX_PATH) {
            return refuse(p, "the path is longer than %d characters", MAX_PATH);
        }
        out[len++] = *c == '[' ? '.' : *c;
    }
    out[len] = '\0';
    return true;
}

/* Says what the longest beginning of the path that exists is, or the nearest of its names. */
static bool refuse_path(struct parser *p, const char *path) {
    char beginning[MAX_PATH];
    str_copy(beginning, sizeof beginning, path);
    json_t *parent = NULL;
    while (p->lookup && !parent && *beginning) {
        char *dot = strrchr(beginning, '.');
        *(dot ? dot : beginning) = '\0';
        parent = p->lookup(p->ctx, beginning);
    }
    if (parent && !json_is_object(parent)) {
        return refuse(p, "there is no `%s`: `%s` is %s", path, beginning, kind_text(parent));
    }
    size_t skip = *beginning ? strlen(beginning) + 1 : 0, count = 0;
    char name[MAX_PATH];
    str_copy(name, sizeof name, path + skip);
    name[strcspn(name, ".")] = '\0';
    const char *names[MAX_NAMES], *key;
    json_t *value;
    json_object_foreach(parent, key, value) {
        if (count < MAX_NAMES) {
            names[count++] = key;
        }
    }
    const char *near = str_nearest(name, names, count);
    return near ? refuse(p, "there is no `%s`; did you mean `%.*s%s`?", path, (int)skip, path, near)
                : refuse(p, "there is no `%s`", path);
}

static bool read_path(struct parser *p, bool live, json_t **out) {
    char path[MAX_PATH];
    if (!copy_path(p, path)) {
        return false;
    }
    if (p->known && !p->known(p->ctx, path)) {
        return refuse_path(p, path);
    }
    if (live) {
        json_t *value = p->lookup(p->ctx, path);
        if (!value) {
            return refuse_path(p, path);
        }
        *out = json_incref(value);
    }
    return true;
}

json_t *template_walk(json_t *root, const char *path) {
    json_t *at = root;
    while (at && *path) {
        size_t len = strlen(path);
        json_t *next = NULL;
        if (json_is_array(at)) {
            len = strspn(path, "0123456789");
            size_t index = 0;
            for (size_t i = 0; i < len && index < json_array_size(at); i++) {
                index = index * 10 + (size_t)(path[i] - '0');
            }
            next = len > 0 && (path[len] == '.' || path[len] == '\0') ? json_array_get(at, index)
                                                                      : NULL;
        } else if (json_is_object(at) && len < MAX_PATH) {
            char key[MAX_PATH];
            str_copy(key, sizeof key, path);
            for (;;) {
                next = json_object_get(at, key);
                char *dot = next ? NULL : strrchr(key, '.');
                if (!dot) {
                    break;
                }
                *dot = '\0';
            }
            len = strlen(key);
        }
        path += len + (path[len] == '.');
        at = next;
    }
    return at;
}

/* --- expressions ------------------------------------------------------------------------------ */

static bool read_expression(struct parser *p, int least, bool live, json_t **out);

static bool keep(struct parser *p, bool live, json_t *value, json_t **out) {
    if (!live) {
        json_decref(value);
        return true;
    }
    *out = value;
    return value || no_memory(p);
}

static bool read_string(struct parser *p, bool live, json_t **out) {
    struct buf text;
    buf_init(&text, MAX_EXPRESSION);
    for (const char *c = p->from + 1; c < p->at - 1; c++) {
        buf_putc(&text, *c);
        c += *c == *p->from; /* a doubled quote */
    }
    if (text.failed) {
        buf_free(&text);
        return no_memory(p);
    }
    bool good = str_valid_utf8(text.data, text.len);
    json_t *value = good ? json_stringn(text.data ? text.data : "", text.len) : NULL;
    buf_free(&text);
    return good ? keep(p, live, value, out) : refuse(p, "a text is not UTF-8");
}

static bool read_number(struct parser *p, bool live, json_t **out) {
    size_t len = (size_t)(p->at - p->from);
    char text[24];
    int64_t whole;
    snprintf(text, sizeof text, "%.*s", (int)len, p->from);
    if (len < sizeof text && parse_integer(text, INT64_MIN, INT64_MAX, &whole, NULL) == HARDY_OK) {
        return keep(p, live, json_integer(whole), out);
    }
    double value = number_value(p->from, len);
    return isfinite(value) ? keep(p, live, json_real(value), out)
                           : refuse(p, "the number `%.*s` is too large", token_length(p), p->from);
}

static bool read_operand(struct parser *p, bool live, json_t **out) {
    bool ok = true;
    switch (p->token) {
    case TOKEN_PATH:
        ok = read_path(p, live, out);
        break;
    case TOKEN_STRING:
        ok = read_string(p, live, out);
        break;
    case TOKEN_NUMBER:
        ok = read_number(p, live, out);
        break;
    case TOKEN_TRUE:
    case TOKEN_FALSE:
        ok = keep(p, live, json_boolean(p->token == TOKEN_TRUE), out);
        break;
    case TOKEN_NULL:
        ok = keep(p, live, json_null(), out);
        break;
    case TOKEN_NOT: {
        json_t *value = NULL;
        ok = advance(p) && read_expression(p, 4, live, &value) &&
             keep(p, live, json_boolean(!truth(value)), out);
        json_decref(value);
        return ok;
    }
    case TOKEN_OPEN:
        if (!advance(p) || !read_expression(p, 0, live, out)) {
            return false;
        }
        if (p->token != TOKEN_CLOSE) {
            return refuse_token(p, "`)`");
        }
        break;
    default:
        return refuse_token(p, "a value");
    }
    return ok && advance(p);
}

/* How strongly an operator binds; 0 = not an operator between two values. */
static int strength(enum token token) {
    switch (token) {
    case TOKEN_OR:
        return 1;
    case TOKEN_AND:
        return 2;
    case TOKEN_EQUAL:
    case TOKEN_UNEQUAL:
    case TOKEN_LESS:
    case TOKEN_LESS_EQUAL:
    case TOKEN_GREATER:
    case TOKEN_GREATER_EQUAL:
        return 3;
    default:
        return 0;
    }
}

/* The right side of `*left`, which becomes the result. */
static bool read_right(struct parser *p, enum token op, bool live, json_t **left) {
    int binding = strength(op);
    bool choice = op == TOKEN_AND || op == TOKEN_OR;
    bool decided = live && choice && truth(*left) == (op == TOKEN_OR);
    json_t *right = NULL;
    if (!advance(p) || !read_expression(p, binding + 1, live && !decided, &right)) {
        json_decref(right);
        return false;
    }
    if (!choice && strength(p->token) == binding) {
        json_decref(right);
        return refuse(p, "comparisons cannot follow each other; use parentheses or `&&`");
    }
    if (!live || decided) {
        return true;
    }
    bool result = false, ok = choice || compute(p, op, *left, right, &result);
    json_decref(*left);
    *left = choice ? right : json_boolean(result);
    if (!choice) {
        json_decref(right);
    }
    return ok;
}

/* An expression of operators that bind at least as strongly as `least`; on failure *out may hold a
 * value too, released by the caller. */
static bool read_expression(struct parser *p, int least, bool live, json_t **out) {
    if (++p->depth > MAX_DEPTH) {
        return refuse(p, "nested deeper than %d", MAX_DEPTH);
    }
    bool ok = read_operand(p, live, out);
    while (ok && strength(p->token) >= (least > 0 ? least : 1)) {
        ok = read_right(p, p->token, live, out);
    }
    p->depth--;
    return ok;
}

/* One whole expression from p->at; the current token is then its TOKEN_END. */
static bool read_whole(struct parser *p, bool live, json_t **out) {
    *out = NULL;
    bool ok = advance(p) && read_expression(p, 0, live, out) &&
              (p->token == TOKEN_END || refuse_token(p, "an operator such as == or &&"));
    if (!ok) {
        json_decref(*out);
        *out = NULL;
    }
    return ok;
}

/* --- texts ------------------------------------------------------------------------------------ */

static void put_json(struct json_out *j, const json_t *value) {
    const char *key;
    json_t *item;
    size_t index;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_out_object(j);
        json_object_foreach((json_t *)value, key, item) {
            json_out_key(j, key);
            put_json(j, item);
        }
        json_out_object_end(j);
        break;
    case JSON_ARRAY:
        json_out_array(j);
        json_array_foreach(value, index, item) {
            put_json(j, item);
        }
        json_out_array_end(j);
        break;
    case JSON_STRING:
        json_out_stringn(j, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        json_out_int(j, json_integer_value(value));
        break;
    case JSON_REAL:
        json_out_double(j, json_real_value(value));
        break;
    case JSON_NULL:
        json_out_null(j);
        break;
    default:
        json_out_bool(j, json_is_true(value));
        break;
    }
}

void template_put_json(const json_t *value, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    put_json(&j, value);
}

bool template_used(const char *text) {
    return strstr(text, "${{") != NULL;
}

static void put_value(const json_t *value, struct buf *out) {
    if (json_is_string(value)) {
        buf_append(out, json_string_value(value), json_string_length(value));
    } else {
        template_put_json(value, out);
    }
}

static void put_elsewhere(struct parser *p, const json_t *value, struct buf *out) {
    struct buf text;
    buf_init(&text, out->max);
    put_value(value, &text);
    if (text.failed) {
        out->failed = true;
        out->full = text.full;
    } else {
        p->put(p->put_ctx, text.data ? text.data : "", text.len, out);
    }
    buf_free(&text);
}

/* Before the expression that starts here. */
static void begin(struct parser *p, const char *text) {
    p->start = p->at = p->from = text;
    p->end = text + strnlen(text, MAX_EXPRESSION);
}

static hardy_status run(struct parser *p, const char *text, bool live, struct buf *out) {
    for (;;) {
        const char *mark = strstr(text, "${{");
        if (!mark) {
            break;
        }
        bool literal = mark > text && mark[-1] == '$';
        if (out) {
            buf_append(out, text, (size_t)(mark - text) - (literal ? 1 : 0));
        }
        text = mark + 3;
        if (literal) {
            if (out) {
                buf_puts(out, "${{");
            }
            continue;
        }
        json_t *value;
        begin(p, text);
        if (!read_whole(p, live, &value)) {
            return p->status;
        }
        if (p->from == p->end) {
            json_decref(value);
            refuse(p, "the closing `}}` is missing");
            return p->status;
        }
        if (live && p->put) {
            put_elsewhere(p, value, out);
        } else if (live) {
            put_value(value, out);
        }
        json_decref(value);
        text = p->from + 2;
    }
    if (out) {
        buf_puts(out, text);
        if (out->failed && !out->full) {
            no_memory(p);
            return p->status;
        }
        if (out->failed) {
            return fail(p->error, HARDY_E_TOO_LARGE, NULL,
                        "the text with its values is larger than %zu bytes", out->max);
        }
    }
    return HARDY_OK;
}

hardy_status template_expand(const char *text, template_lookup lookup, void *ctx, struct buf *out,
                             hardy_error *error) {
    hardy_error unused;
    struct parser p = {.lookup = lookup, .ctx = ctx, .error = error ? error : &unused};
    return run(&p, text, true, out);
}

hardy_status template_expand_by(const char *text, template_lookup lookup, void *ctx,
                                template_put put, void *put_ctx, struct buf *out,
                                hardy_error *error) {
    hardy_error unused;
    struct parser p = {.lookup = lookup,
                       .ctx = ctx,
                       .put = put,
                       .put_ctx = put_ctx,
                       .error = error ? error : &unused};
    return run(&p, text, true, out);
}

static hardy_status expanded(struct parser *p, const char *text, json_t **out) {
    struct buf filled;
    buf_init(&filled, TEMPLATE_TEXT_MAX);
    hardy_status status = run(p, text, true, &filled);
    if (status == HARDY_OK && !str_valid_utf8(filled.data, filled.len)) {
        status = fail(p->error, HARDY_E_SYNTAX, NULL, "the text with its values is not UTF-8");
    } else if (status == HARDY_OK) {
        *out = json_stringn(filled.data ? filled.data : "", filled.len);
        status = *out ? HARDY_OK : fail(p->error, HARDY_E_NOMEM, NULL, "out of memory");
    }
    buf_free(&filled);
    return status;
}

hardy_status template_value(const char *text, template_lookup lookup, void *ctx, json_t **out,
                            hardy_error *error) {
    hardy_error unused;
    struct parser p = {.lookup = lookup, .ctx = ctx, .error = error ? error : &unused};
    const char *start = text + strspn(text, white);
    *out = NULL;
    if (strncmp(start, "${{", 3) == 0) {
        begin(&p, start + 3);
        if (!read_whole(&p, true, out)) {
            return p.status;
        }
        if (p.from < p.end && p.from[2 + strspn(p.from + 2, white)] == '\0') {
            return HARDY_OK;
        }
        json_decref(*out);
        *out = NULL;
    }
    return expanded(&p, text, out);
}

hardy_status template_check(const char *text, template_known fn, void *ctx, hardy_error *error) {
    hardy_error unused;
    struct parser p = {.known = fn, .ctx = ctx, .error = error ? error : &unused};
    return run(&p, text, false, NULL);
}

static hardy_status run_truth(struct parser *p, const char *text, bool live, bool *out) {
    text += strspn(text, white);
    bool wrapped = strncmp(text, "${{", 3) == 0;
    json_t *value;
    if (strlen(text) > MAX_EXPRESSION) {
        return fail(p->error, HARDY_E_TOO_LARGE, NULL, "a condition is longer than %d characters",
                    MAX_EXPRESSION);
    }
    begin(p, text + (wrapped ? 3 : 0));
    if (!read_whole(p, live, &value)) {
        return p->status;
    }
    const char *behind = p->from;
    if (wrapped && behind < p->end) {
        behind += 2;
        behind += strspn(behind, white);
    } else if (wrapped) {
        refuse(p, "the closing `}}` is missing");
    }
    if (p->status == HARDY_OK && *behind) {
        refuse(p, "a condition is one expression; `%.*s` follows it",
               excerpt(behind, behind + strlen(behind), 20), behind);
    }
    if (p->status == HARDY_OK && live) {
        *out = truth(value);
    }
    json_decref(value);
    return p->status;
}

hardy_status template_truth(const char *text, template_lookup lookup, void *ctx, bool *out,
                            hardy_error *error) {
    hardy_error unused;
    struct parser p = {.lookup = lookup, .ctx = ctx, .error = error ? error : &unused};
    return run_truth(&p, text, true, out);
}

hardy_status template_check_truth(const char *text, template_known fn, void *ctx,
                                  hardy_error *error) {
    hardy_error unused;
    struct parser p = {.known = fn, .ctx = ctx, .error = error ? error : &unused};
    return run_truth(&p, text, false, NULL);
}
