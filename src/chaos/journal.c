/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/journal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "config/template.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 4096 /* different ones in one journal */
#define RULE_TEXT_MAX ((size_t)64 * 1024)

/* --- writing -------------------------------------------------------------------------------- */

static void put_number(struct json_out *j, const char *key, int64_t value, bool known) {
    json_out_key(j, key);
    if (known) {
        json_out_int(j, value);
    } else {
        json_out_null(j);
    }
}

static void put_duration(struct json_out *j, const char *key, int64_t span) {
    char text[48];
    format_duration(span, text);
    json_out_member_string(j, key, text);
}

void chaos_journal_put(const struct chaos_entry *e, struct buf *out) {
    const struct fault_decision *d = &e->decision;
    struct json_out j;
    char moment[32];
    clock_format_wall(e->wall, moment);
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "time", moment);
    put_number(&j, "number", (int64_t)e->number, true);
    json_out_member_string(&j, "key", e->key);
    put_number(&j, "attempt", e->attempt, e->key != NULL);
    json_out_member_string(&j, "method", e->method);
    json_out_member_string(&j, "path", e->path);
    json_out_member_string(&j, "model", e->model);
    json_out_key(&j, "stream");
    json_out_bool(&j, e->stream);
    put_number(&j, "rule", d->index, d->rule != NULL);
    json_out_member_string(&j, "fault", d->rule ? fault_kind_text(d->rule->fail) : NULL);
    if (d->rule) {
        json_out_key(&j, "with");
        json_out_raw(&j, d->rule->text);
    }
    put_number(&j, "status", e->status, e->status > 0);
    put_number(&j, "events", e->events, true);
    json_out_member_string(&j, "ended", e->ended);
    json_out_key(&j, "seconds");
    json_out_double(&j, round((double)e->took / 1e3) / 1e6);
    put_number(&j, "words", d->words, true);
    put_duration(&j, "pace", d->pace);
    put_duration(&j, "think", d->think);
    json_out_object_end(&j);
    buf_putc(out, '\n');
}

/* --- reading -------------------------------------------------------------------------------- */

struct past {
    char key[CHAOS_KEY_SIZE];
    uint32_t attempt;
    size_t line;
    struct fault_decision decision;
};
struct known { /* a rule that some lines hold */
    char *text;
    struct faults faults; /* with this rule alone */
};
struct chaos_journal {
    const char *path;
    struct past *past;
    size_t count, cap;
    struct known *rules[RULES_MAX];
    size_t rule_count;
};

static hardy_status wrong(const struct chaos_journal *j, size_t line, hardy_error *error,
                          const char *format, ...) HARDY_PRINTF(4, 5);
static hardy_status wrong(const struct chaos_journal *j, size_t line, hardy_error *error,
                          const char *format, ...) {
    hardy_error why;
    char where[sizeof why.where], message[sizeof why.message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    snprintf(where, sizeof where, "%s:%zu", j->path, line);
    return fail(error, HARDY_E_SYNTAX, where, "%s", message);
}

static hardy_status no_memory(const struct chaos_journal *j, hardy_error *error) {
    return fail(error, HARDY_E_NOMEM, j->path, "no memory for a journal");
}

static struct known *find_rule(const struct chaos_journal *j, const char *text) {
    for (size_t i = 0; i < j->rule_count; i++) {
        if (str_eq(j->rules[i]->text, text)) {
            return j->rules[i];
        }
    }
    return NULL;
}

static void known_free(struct known *k) {
    if (k) {
        faults_free(&k->faults);
        free(k->text);
        free(k);
    }
}

static hardy_status add_rule(struct chaos_journal *j, size_t line, const char *text,
                             hardy_error *error) {
    if (j->rule_count == RULES_MAX) {
        return wrong(j, line, error, "more than %d different rules", RULES_MAX);
    }
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    struct known *k = calloc(1, sizeof *k);
    char *file = str_format("{\"faults\": [%s]}", text);
    if (k) {
        k->text = str_dup(text);
    }
    hardy_status status = k && file && k->text
                              ? faults_parse(j->path, file, strlen(file), &k->faults, &why)
                              : HARDY_E_NOMEM;
    free(file);
    if (status == HARDY_OK) {
        j->rules[j->rule_count++] = k;
        return HARDY_OK;
    }
    known_free(k);
    return status == HARDY_E_NOMEM ? no_memory(j, error)
                                   : wrong(j, line, error, "`with` is no rule: %s", why.message);
}

static hardy_status take_rule(struct chaos_journal *j, size_t line, const json_t *root,
                              struct fault_decision *d, hardy_error *error) {
    const json_t *with = json_object_get(root, "with"), *rule = json_object_get(root, "rule");
    if (!with || !json_is_integer(rule)) {
        return json_is_null(json_object_get(root, "fault"))
                   ? HARDY_OK
                   : wrong(j, line, error, "a line with a `fault` has its `rule` and `with`");
    }
    struct buf text;
    buf_init(&text, RULE_TEXT_MAX);
    template_put_json(with, &text);
    hardy_status status = text.failed                       ? no_memory(j, error)
                          : find_rule(j, text.data) != NULL ? HARDY_OK
                                                            : add_rule(j, line, text.data, error);
    if (status == HARDY_OK) {
        d->rule = find_rule(j, text.data)->faults.rules.items;
        d->index = json_integer_value(rule);
    }
    buf_free(&text);
    return status;
}

static bool take_settings(const json_t *root, struct fault_decision *d) {
    const char *pace = json_string_value(json_object_get(root, "pace"));
    const char *think = json_string_value(json_object_get(root, "think"));
    json_int_t words = json_integer_value(json_object_get(root, "words"));
    d->words = (uint32_t)words;
    return pace && think && words >= 2 && words <= 10000 &&
           parse_duration(pace, &d->pace, NULL) == HARDY_OK &&
           parse_duration(think, &d->think, NULL) == HARDY_OK;
}

static hardy_status take_line(struct chaos_journal *j, size_t line, const json_t *root,
                              hardy_error *error) {
    const json_t *attempt = json_object_get(root, "attempt");
    const char *key = json_string_value(json_object_get(root, "key"));
    struct past past = {.line = line, .decision = {.index = -1}};
    if (json_is_null(attempt)) {
        return HARDY_OK; /* refused for what it was: it will be again */
    }
    if (!key || strlen(key) >= sizeof past.key || !json_is_integer(attempt) ||
        json_integer_value(attempt) < 1 || json_integer_value(attempt) > UINT32_MAX ||
        !take_settings(root, &past.decision)) {
        return wrong(j, line, error, "not a line that `hardy chaos llm --journal` has written");
    }
    str_copy(past.key, sizeof past.key, key);
    past.attempt = (uint32_t)json_integer_value(attempt);
    hardy_status status = take_rule(j, line, root, &past.decision, error);
    if (status != HARDY_OK) {
        return status;
    }
    if (j->count == j->cap) {
        size_t cap = j->cap ? j->cap * 2 : 256;
        struct past *more = realloc(j->past, cap * sizeof *more);
        if (!more) {
            return no_memory(j, error);
        }
        j->past = more;
        j->cap = cap;
    }
    j->past[j->count++] = past;
    return HARDY_OK;
}

static int compare_calls(const char *key, uint32_t attempt, const struct past *b) {
    int order = strcmp(key, b->key);
    return order != 0 ? order : (attempt > b->attempt) - (attempt < b->attempt);
}

static int compare(const void *a, const void *b) {
    const struct past *x = a, *y = b;
    int order = compare_calls(x->key, x->attempt, y);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

hardy_status chaos_journal_read(const char *path, const char *bytes, size_t len,
                                struct chaos_journal **out, hardy_error *error) {
    struct chaos_journal *j = calloc(1, sizeof *j);
    hardy_status status = j ? HARDY_OK : fail(error, HARDY_E_NOMEM, path, "no memory");
    size_t line = 0;
    if (j) {
        j->path = path;
    }
    for (const char *end = bytes + len, *next; status == HARDY_OK && bytes < end; bytes = next) {
        const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
        if (!stop) {
            break;
        }
        next = stop + 1;
        line++;
        json_error_t problem;
        json_t *root = json_loadb(bytes, (size_t)(stop - bytes), 0, &problem);
        status =
            root ? take_line(j, line, root, error)
                 : wrong(j, line, error, "not JSON, column %d: %s", problem.column, problem.text);
        json_decref(root);
    }
    if (status != HARDY_OK) {
        chaos_journal_free(j);
        return status;
    }
    if (j->count > 0) {
        qsort(j->past, j->count, sizeof *j->past, compare);
    }
    j->path = NULL;
    *out = j;
    return HARDY_OK;
}

void chaos_journal_free(struct chaos_journal *j) {
    for (size_t i = 0; j && i < j->rule_count; i++) {
        known_free(j->rules[i]);
    }
    if (j) {
        free(j->past);
        free(j);
    }
}

size_t chaos_journal_count(const struct chaos_journal *j) {
    return j->count;
}

bool chaos_journal_find(const struct chaos_journal *j, const char *key, uint32_t attempt,
                        struct fault_decision *out) {
    size_t low = 0, high = j->count;
    while (low < high) { /* the first that is not before it */
        size_t middle = low + (high - low) / 2;
        if (compare_calls(key, attempt, &j->past[middle]) > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < j->count && compare_calls(key, attempt, &j->past[low]) == 0;
    if (found) {
        *out = j->past[low].decision;
    }
    return found;
}
