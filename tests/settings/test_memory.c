/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a configuration with the first request for memory refused, then the second, and so on:
 * each time it fails and says so, or has not noticed; never half. The linker sends the requests
 * through here (--wrap); sanitizers watch for what is left behind. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "config/template.h"
#include "settings/guards.h"
#include <stdlib.h>
#include <string.h>

static long left = -1; /* requests granted before one is refused; below 0: all are */

static bool granted(void) {
    return left < 0 || left-- > 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t size) {
    return granted() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size) {
    return granted() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size) {
    return granted() ? __real_realloc(old, size) : NULL;
}

char *__wrap_strdup(const char *s) {
    return granted() ? __real_strdup(s) : NULL;
}

static const char text[] =
    "state: ${HARDY_TEST_UNSET:-a.db}\n"
    "base: &base {retry: {max_retries: 2, retry_on: [1, 5-9]}, timeout: 5s}\n"
    "guards:\n"
    "  search: {<<: *base, preset: critical, rate: 10/s, bulkhead: {max_queue: 3}}\n"
    "  other: {breaker: off}\n";

/* Reads it all; `whole`: whether everything came. */
static hardy_status read_all(hardy_error *error) {
    static const char *const names[] = {"state", "base", "guards", NULL};
    struct config *config;
    struct guard_settings s;
    char *path = NULL;
    hardy_status status = config_load_bytes("f.yaml", text, sizeof text - 1, &config, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = config_check_top(config, names, error);
    if (status == HARDY_OK) {
        status = config_state_path(config, NULL, &path, error);
    }
    if (status == HARDY_OK) {
        assert_string_equal(path, "a.db");
        status = guard_settings_find(config, "search", GUARD_DEFAULTS, &s, error);
        if (status == HARDY_OK) {
            assert_int_equal(s.config.retry->max_retries, 2);
            assert_int_equal(s.retry_on_count, 2);
            assert_int_equal(s.config.breaker->failure_threshold, 3);
            assert_int_equal(s.config.bulkhead->max_queue, 3);
            assert_string_equal(s.config.name, "search");
        }
        guard_settings_free(&s);
    }
    free(path);
    config_free(config);
    return status;
}

static void each_request_refused(void **state) {
    (void)state;
    unsetenv("HARDY_TEST_UNSET");
    unsetenv("HARDY_STATE");
    for (long n = 0;; n++) {
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        left = n;
        hardy_status status = read_all(&error);
        bool refused = left == -1;
        left = -1;
        if (!refused) {
            assert_int_equal(status, HARDY_OK);
            assert_true(n > 20);
            return;
        }
        assert_int_equal(status, HARDY_E_NOMEM);
        assert_string_equal(error.message, "out of memory");
    }
}

struct list {
    char *name;
    struct schema_strings tags;
    struct schema_command run;
};
static const struct schema_key list_keys[] = {
    {"name", SCHEMA_NAME, offsetof(struct list, name), .help = "name"},
    {"tags", SCHEMA_STRINGS, offsetof(struct list, tags), .def = "a,b", .help = "tags"},
    {"run", SCHEMA_COMMAND, offsetof(struct list, run), .def = "true", .help = "run"},
};
static const struct schema_section list_section = {"list", list_keys, 3, sizeof(struct list)};
struct top {
    struct schema_list named, listed;
};
static const struct schema_key top_keys[] = {
    {"named", SCHEMA_NAMED, offsetof(struct top, named), .section = &list_section, .help = "n"},
    {"listed", SCHEMA_LIST, offsetof(struct top, listed), .section = &list_section, .help = "l"},
};
static const struct schema_section top_section = {"top", top_keys, 2, sizeof(struct top)};

static void lists(void **state) {
    (void)state;
    static const char yaml[] = "named: {a: {tags: [x, y], run: [p, q]}, b: {run: make}}\n"
                               "listed: [{name: c, tags: one}, {name: d}]\n";
    struct yaml_file *file;
    assert_int_equal(yaml_parse("f.yaml", yaml, sizeof yaml - 1, &file, NULL), HARDY_OK);
    for (long n = 0;; n++) {
        struct top top;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        left = n;
        hardy_status status = schema_read(&top_section, file->root, &top, &error);
        bool refused = left == -1;
        left = -1;
        schema_free(&top_section, &top);
        if (!refused) {
            assert_int_equal(status, HARDY_OK);
            assert_true(n > 20);
            break;
        }
        assert_int_equal(status, HARDY_E_NOMEM);
        assert_string_equal(error.message, "out of memory");
    }
    yaml_close(file);
}

static json_t *look_up(void *ctx, const char *path) {
    return template_walk(ctx, path);
}

static void expressions(void **state) {
    (void)state;
    json_set_alloc_funcs(__wrap_malloc, free);
    json_t *root = json_pack("{s:s, s:i}", "a", "text", "b", 3);
    for (long n = 0;; n++) {
        struct buf out;
        buf_init(&out, 4096);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        left = n;
        hardy_status status = template_expand(
            "x ${{ a == 'te''xt' || b >= 2.5 && (b < 7) }} ${{ a }}", look_up, root, &out, &error);
        bool refused = left == -1;
        left = -1;
        if (!refused) {
            assert_int_equal(status, HARDY_OK);
            assert_string_equal(out.data, "x true text");
        } else {
            assert_int_equal(status, HARDY_E_NOMEM);
            assert_string_equal(error.message, "out of memory");
        }
        buf_free(&out);
        if (!refused) {
            assert_true(n > 4);
            break;
        }
    }
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_refused),
        cmocka_unit_test(lists),
        cmocka_unit_test(expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
