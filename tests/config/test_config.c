/* SPDX-License-Identifier: Apache-2.0 */
/* Where the configuration and the state are found, and the environment in values. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "config/config.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *const variables[] = {"HARDY_CONFIG",   "HARDY_STATE",     "XDG_CONFIG_HOME",
                                        "XDG_STATE_HOME", "STATE_DIRECTORY", "HOME"};

/* Each test starts in an empty directory of its own, without the variables. */
static char place[64];

static int set_up(void **state) {
    (void)state;
    str_copy(place, sizeof place, "/tmp/hardy-config-XXXXXX");
    for (size_t i = 0; i < COUNT(variables); i++) {
        unsetenv(variables[i]);
    }
    return mkdtemp(place) && chdir(place) == 0 ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const files[] = {"home/.config/hardy/hardy.yaml",
                                        "xdg/hardy/hardy.yaml",
                                        "hardy.yaml",
                                        "other.yaml",
                                        "home/.config/hardy",
                                        "home/.config",
                                        "home",
                                        "xdg/hardy",
                                        "xdg"};
    for (size_t i = 0; i < COUNT(files); i++) {
        remove(files[i]);
    }
    return chdir("/") == 0 && rmdir(place) == 0 ? 0 : -1;
}

/* Writes `path`, making its directories. */
static void put_file(const char *path, const char *text) {
    char directory[128];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
        mkdir(directory, 0700);
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void set_path(const char *name, const char *below) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", place, below);
    setenv(name, path, 1);
}

/* The value of `from:` in the file that is found; "" = no file. */
static void expect_found(const char *path, const char *from) {
    struct config *config;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (config_load(path, &config, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    const struct yaml_node *node = config_section(config, "from");
    assert_string_equal(node ? node->text : "", from);
    config_free(config);
}

static void order_of_places(void **state) {
    (void)state;
    if (access("/etc/hardy/hardy.yaml", F_OK) == 0) {
        skip(); /* this machine has one: the last place cannot be told from none */
    }
    expect_found(NULL, "");
    set_path("HOME", "home");
    set_path("XDG_CONFIG_HOME", "xdg");
    expect_found(NULL, "");
    put_file("home/.config/hardy/hardy.yaml", "from: home\n");
    expect_found(NULL, ""); /* XDG_CONFIG_HOME says where, even when nothing is there */
    unsetenv("XDG_CONFIG_HOME");
    expect_found(NULL, "home");
    setenv("XDG_CONFIG_HOME", "xdg", 1); /* relative: ignored */
    expect_found(NULL, "home");
    setenv("XDG_CONFIG_HOME", "", 1);
    expect_found(NULL, "home");
    put_file("xdg/hardy/hardy.yaml", "from: xdg\n");
    set_path("XDG_CONFIG_HOME", "xdg");
    expect_found(NULL, "xdg");
    put_file("hardy.yaml", "from: here\n");
    expect_found(NULL, "here");
    put_file("other.yaml", "from: named\n");
    setenv("HARDY_CONFIG", "other.yaml", 1);
    expect_found(NULL, "named");
    expect_found("hardy.yaml", "here"); /* -c comes first */
}

static void missing_files(void **state) {
    (void)state;
    struct config *config;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(config_load("nothing.yaml", &config, &error), HARDY_E_NOT_FOUND);
    assert_string_equal(error.where, "nothing.yaml");
    assert_string_equal(error.message, "cannot open it: No such file or directory");
    setenv("HARDY_CONFIG", "gone.yaml", 1);
    assert_int_equal(config_load(NULL, &config, &error), HARDY_E_NOT_FOUND);
    assert_string_equal(error.where, "gone.yaml");
    assert_string_equal(error.message, "HARDY_CONFIG names a file that is not there: cannot open "
                                       "it: No such file or directory");
    unsetenv("HARDY_CONFIG");
    mkdir("hardy.yaml", 0700); /* there, and not a file: not passed over */
    assert_int_equal(config_load(NULL, &config, &error), HARDY_E_IO);
    assert_null(config);
}

static struct config *load(const char *text, hardy_error *error) {
    struct config *config;
    hardy_error_init(error, sizeof *error);
    hardy_status status = config_load_bytes("d/f.yaml", text, strlen(text), &config, error);
    assert_int_equal(status, config ? HARDY_OK : error->status);
    return config;
}

static void variables_in_values(void **state) {
    (void)state;
    setenv("HARDY_TEST_A", "one: \"two\"", 1);
    setenv("HARDY_TEST_EMPTY", "", 1);
    unsetenv("HARDY_TEST_UNSET");
    static const struct {
        const char *value, *expanded;
    } rows[] = {
        {"${HARDY_TEST_A}", "one: \"two\""},
        {"'x${HARDY_TEST_A}y'", "xone: \"two\"y"},
        {"<${HARDY_TEST_EMPTY}>", "<>"},
        {"<${HARDY_TEST_EMPTY:-d}>", "<d>"},
        {"${HARDY_TEST_UNSET:-a-b:c}", "a-b:c"},
        {"<${HARDY_TEST_UNSET:-}>", "<>"},
        {"${HARDY_TEST_UNSET:-1}${HARDY_TEST_UNSET:-2}", "12"},
        {"$${HARDY_TEST_A}", "${HARDY_TEST_A}"},
        {"'$HARDY_TEST_A $ $1 {x}'", "$HARDY_TEST_A $ $1 {x}"},
        {"'${{ input.x }} $${{ y }}'", "${{ input.x }} $${{ y }}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[128];
        snprintf(text, sizeof text, "a:\n- %s\n", rows[i].value);
        hardy_error error;
        struct config *config = load(text, &error);
        if (!config) {
            fail_msg("%s: %s", error.where, error.message);
        }
        assert_string_equal(config_section(config, "a")->items[0]->text, rows[i].expanded);
        config_free(config);
    }
}

static void bad_variables(void **state) {
    (void)state;
    unsetenv("HARDY_TEST_UNSET");
    setenv("HARDY_TEST_BYTES", "\xff", 1);
    static const struct {
        const char *value, *message;
    } rows[] = {
        {"${HARDY_TEST_UNSET}",
         "the environment has no HARDY_TEST_UNSET; set it, or write ${HARDY_TEST_UNSET:-default}"},
        {"'${a b}'", "`${a b` is not a variable: expected ${NAME} or ${NAME:-default}; $${ writes "
                     "${"},
        {"'${}'", "`${` is not a variable: expected ${NAME} or ${NAME:-default}; $${ writes ${"},
        {"'${1A}'", "`${1A` is not a variable: expected ${NAME} or ${NAME:-default}; $${ writes "
                    "${"},
        {"'${A'", "`${A` is not a variable: expected ${NAME} or ${NAME:-default}; $${ writes ${"},
        {"'${A-x}'", "`${A-x` is not a variable: expected ${NAME} or ${NAME:-default}; $${ writes "
                     "${"},
        {"'${A:-${B}}'", "the default of `${A}` cannot hold another variable"},
        {"${HARDY_TEST_BYTES}", "with its variables the value is not UTF-8"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[128];
        snprintf(text, sizeof text, "a:\n  b:\n    - x\n    - %s\n", rows[i].value);
        hardy_error error;
        assert_null(load(text, &error));
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.where, "d/f.yaml:4:7");
    }
}

static void copies_of_aliases_are_expanded_once(void **state) {
    (void)state;
    hardy_error error;
    struct config *config = load("a: &x ['$${A}']\nb: *x\n", &error);
    assert_string_equal(config_section(config, "a")->items[0]->text, "${A}");
    assert_string_equal(config_section(config, "b")->items[0]->text, "${A}");
    config_free(config);
}

static void top_level(void **state) {
    (void)state;
    static const char *const names[] = {"state", "guards", NULL};
    hardy_error error;
    struct config *config = load("state: x\nguards: {}\n", &error);
    assert_int_equal(config_check_top(config, names, &error), HARDY_OK);
    config_free(config);
    config = load("state: x\ngaurds: {}\n", &error);
    assert_int_equal(config_check_top(config, names, &error), HARDY_E_SYNTAX);
    assert_string_equal(error.where, "d/f.yaml:2:1");
    assert_string_equal(error.message, "unknown key `gaurds` at the top; did you mean `guards`?");
    config_free(config);
    config = load("[1]\n", &error);
    assert_int_equal(config_check_top(config, names, &error), HARDY_E_SYNTAX);
    assert_string_equal(error.message,
                        "the configuration is a list; expected a map with the keys state, guards");
    config_free(config);
    config = load("", &error);
    assert_int_equal(config_check_top(config, names, &error), HARDY_OK);
    config_free(config);
    assert_int_equal(config_check_top(NULL, names, &error), HARDY_OK);
}

static void expect_state(const struct config *config, const char *flag, const char *expected) {
    char *path;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (config_state_path(config, flag, &path, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    assert_string_equal(path, expected);
    free(path);
}

static void state_path(void **state) {
    (void)state;
    hardy_error error;
    char *path;
    assert_int_equal(config_state_path(NULL, NULL, &path, &error), HARDY_E_NOT_FOUND);
    assert_null(path);
    setenv("HOME", "/home/x", 1);
    expect_state(NULL, NULL, "/home/x/.local/state/hardy/hardy.db");
    setenv("XDG_STATE_HOME", "relative", 1);
    expect_state(NULL, NULL, "/home/x/.local/state/hardy/hardy.db");
    setenv("XDG_STATE_HOME", "/s", 1);
    expect_state(NULL, NULL, "/s/hardy/hardy.db");
    setenv("STATE_DIRECTORY", "/var/lib/hardy:/var/lib/other", 1);
    expect_state(NULL, NULL, "/var/lib/hardy/hardy.db");
    struct config *config = load("state: data/h.db\n", &error);
    expect_state(config, NULL, "d/data/h.db"); /* relative to the file */
    setenv("HARDY_STATE", "env.db", 1);
    expect_state(config, NULL, "env.db"); /* relative to here */
    expect_state(config, "flag.db", "flag.db");
    unsetenv("HARDY_STATE");
    config_free(config);
    static const char *const as_they_are[] = {"/abs/h.db", "memory", "postgresql://u@h/db"};
    for (size_t i = 0; i < COUNT(as_they_are); i++) {
        char text[64];
        snprintf(text, sizeof text, "state: %s\n", as_they_are[i]);
        config = load(text, &error);
        expect_state(config, NULL, as_they_are[i]);
        config_free(config);
    }
    put_file("hardy.yaml", "state: here.db\n");
    assert_int_equal(config_load(NULL, &config, &error), HARDY_OK);
    expect_state(config, NULL, "here.db");
    config_free(config);
}

static void bad_state(void **state) {
    (void)state;
    hardy_error error;
    char *path;
    setenv("HOME", "/home/x", 1);
    struct config *config = load("a: 1\nstate:\n", &error);
    assert_int_equal(config_state_path(config, NULL, &path, &error), HARDY_E_SYNTAX);
    assert_string_equal(error.where, "d/f.yaml:2:7");
    assert_string_equal(error.message,
                        "`state` is empty; expected a path, memory, or postgresql://...");
    config_free(config);
    assert_int_equal(config_state_path(NULL, "", &path, &error), HARDY_E_INVALID);
    assert_string_equal(error.where, "--state");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(order_of_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(variables_in_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_of_aliases_are_expanded_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(top_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(state_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_state, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
