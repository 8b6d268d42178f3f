/* SPDX-License-Identifier: Apache-2.0 */
/* A step that makes sure of a thing: each answer of the probe with each end of what it leads to. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "io/sim.h"
#include "work/ensure_step.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define KILLED 1000 /* instead of an exit code: by signal 9 */

/* What the commands do, one number for each time they are run; the last holds from then on. */
struct script {
    int probe[8];
    int create, update;
    const char *resource; /* what the probe prints */
    size_t asked;
    char ran[64]; /* p, c, u in their order */
};

static void note(struct script *s, char what) {
    size_t len = strlen(s->ran);
    assert_true(len + 1 < sizeof s->ran);
    s->ran[len] = what;
}

static void leave(struct sim_process *p, int code) {
    sim_exit_after(p, HARDY_MILLISECOND, code == KILLED ? 0 : code, code == KILLED ? 9 : 0);
}

static void probe(struct sim_process *p, void *ctx) {
    struct script *s = ctx;
    note(s, 'p');
    sim_output(p, 1, s->resource, strlen(s->resource));
    leave(p, s->probe[s->asked++]);
    if (s->asked == COUNT(s->probe)) {
        s->asked--;
    }
}

static void create(struct sim_process *p, void *ctx) {
    struct script *s = ctx;
    note(s, 'c');
    assert_string_equal(sim_argv(p)[1], "argument");
    sim_output(p, 1, "not the resource", 16);
    leave(p, s->create);
}

static void update(struct sim_process *p, void *ctx) {
    struct script *s = ctx;
    note(s, 'u');
    leave(p, s->update);
}

#define ALL "{\"probe\":[\"probe\"],\"create\":[\"create\",\"argument\"],\"update\":[\"update\"]}"
#define NO_UPDATE "{\"probe\":[\"probe\"],\"create\":[\"create\",\"argument\"]}"

static int64_t ensure(struct script *script, const char *request, struct step_answer *got) {
    struct sim_options options;
    sim_options_init(&options);
    struct loop *loop = loop_sim_new(&options, NULL);
    assert_non_null(loop);
    sim_program_add(loop, "probe", probe, script);
    sim_program_add(loop, "create", create, script);
    sim_program_add(loop, "update", update, script);
    struct step_given given = {.request = request};
    int64_t began = loop_now(loop);
    step_answer_init(got);
    step_program_run(loop, ensure_step, &given, got);
    int64_t took = loop_now(loop) - began;
    loop_run(loop);
    loop_free(loop);
    return took;
}

static void ends(void **state) {
    static const struct {
        struct script script;
        const char *request;
        int code;
        const char *ran, *told; /* of the output, or of the message */
    } rows[] = {
        {{.probe = {0}},
         ALL,
         0,
         "p",
         "{\"status\":\"already_exists\",\"action\":\"none\",\"resource\":\"r\"}\n"},
        {{.probe = {1, 0}},
         ALL,
         0,
         "pcp",
         "{\"status\":\"created\",\"action\":\"create\",\"resource\":\"r\"}\n"},
        {{.probe = {2, 0}},
         ALL,
         0,
         "pup",
         "{\"status\":\"updated\",\"action\":\"update\",\"resource\":\"r\"}\n"},
        /* a lost race: somebody else made it, or changed it */
        {{.probe = {1, 0}, .create = 3},
         ALL,
         0,
         "pcp",
         "{\"status\":\"already_exists\",\"action\":\"none\",\"resource\":\"r\"}\n"},
        {{.probe = {2, 0}, .update = 3},
         ALL,
         0,
         "pup",
         "{\"status\":\"already_exists\",\"action\":\"none\",\"resource\":\"r\"}\n"},
        {{.probe = {1, 2, 0}, .create = 3},
         ALL,
         0,
         "pcpup",
         "{\"status\":\"updated\",\"action\":\"update\",\"resource\":\"r\"}\n"},
        {{.probe = {1, 2}, .create = 3}, NO_UPDATE, 1, "pcp", "no `update` says how to change it"},
        /* made, and then brought into shape */
        {{.probe = {1, 2, 0}},
         ALL,
         0,
         "pcpup",
         "{\"status\":\"created\",\"action\":\"create\",\"resource\":\"r\"}\n"},
        /* failures of their own */
        {{.probe = {1, 1}, .create = 3}, ALL, 3, "pcp", "create failed with exit code 3"},
        {{.probe = {1, 1}, .create = 75}, ALL, 75, "pcp", "create failed with exit code 75"},
        {{.probe = {1, 1}, .create = 79}, ALL, 79, "pcp", "create failed with exit code 79"},
        {{.probe = {2, 2}, .update = 4}, ALL, 4, "pup", "update failed with exit code 4"},
        {{.probe = {2, 1}, .update = 4}, ALL, 4, "pup", "update failed with exit code 4"},
        {{.probe = {2}}, NO_UPDATE, 1, "p", "no `update` says how to change it"},
        /* nobody knows */
        {{.probe = {3}}, ALL, 75, "p", "the probe cannot tell (exit code 3)"},
        {{.probe = {127}}, ALL, 127, "p", "the probe cannot tell (exit code 127)"},
        {{.probe = {KILLED}}, ALL, 75, "p", "the probe was killed by signal 9"},
        {{.probe = {1, 3}}, ALL, 79, "pcp", "the probe cannot tell (exit code 3)"},
        {{.probe = {1, 127}}, ALL, 79, "pcp", "the probe cannot tell (exit code 127)"},
        {{.probe = {1, 3}, .create = 5}, ALL, 79, "pcp", "the probe cannot tell (exit code 3)"},
        {{.probe = {1, KILLED}}, ALL, 79, "pcp", "the probe was killed by signal 9"},
        {{.probe = {1}, .create = KILLED}, ALL, 79, "pc", "create was killed by signal 9"},
        {{.probe = {2}, .update = KILLED}, ALL, 79, "pu", "update was killed by signal 9"},
        /* it takes a while to show; then it does not show at all */
        {{.probe = {1, 1, 1, 0}}, ALL, 0, "pcppp", "\"status\":\"created\""},
        {{.probe = {2, 2, 2, 0}}, ALL, 0, "puppp", "\"status\":\"updated\""},
        {{.probe = {1, 1, 1, 1, 1, 1, 0}},
         ALL,
         1,
         "pcppppp",
         "create succeeded, but the probe says that the resource is not there"},
        {{.probe = {1, 2, 2, 2, 2, 2, 0}},
         NO_UPDATE,
         1,
         "pcppppp",
         "create succeeded, but the probe says that the resource is different"},
        {{.probe = {2, 2, 2, 2, 2, 2, 0}},
         ALL,
         1,
         "puppppp",
         "update succeeded, but the probe says that the resource is different"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script = rows[i].script;
        struct step_answer got;
        script.resource = "r\n";
        int64_t took = ensure(&script, rows[i].request, &got);
        const char *told = got.code == 0 ? got.output.data : got.message;
        if (got.code != rows[i].code || !strstr(told, rows[i].told) ||
            !str_eq(script.ran, rows[i].ran)) {
            fail_msg("row %zu: %d, %s: %s", i, got.code, script.ran, told);
        }
        assert_true(took < 2 * HARDY_SECOND);
        if (got.code != 0) {
            json_t *line = json_loads(got.output.data, 0, NULL);
            assert_string_equal(json_string_value(json_object_get(line, "error")), got.message);
            json_decref(line);
        }
        step_answer_free(&got);
    }
}

/* Of the probe that found it, as JSON when it is an object or a list. */
static void resources(void **state) {
    static const struct {
        const char *printed, *resource;
    } rows[] = {
        {"", "\"\""},
        {"vpc-1\n", "\"vpc-1\""},
        {" two\nlines \n\n", "\" two\\nlines \""},
        {"{\"id\": 1}\n", "{\"id\": 1}"},
        {"\n [1, {\"a\": null}]\n", "[1, {\"a\": null}]"},
        {"{\"id\": 1} x", "\"{\\\"id\\\": 1} x\""},
        {"12", "\"12\""},
        {"\xff", "\"\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script = {.probe = {1, 0}, .resource = rows[i].printed};
        struct step_answer got;
        ensure(&script, ALL, &got);
        char *wanted = str_format(
            "{\"status\":\"created\",\"action\":\"create\",\"resource\":%s}\n", rows[i].resource);
        assert_string_equal(got.output.data, wanted);
        free(wanted);
        step_answer_free(&got);
    }
    size_t len = (1 << 20) + 1;
    char *large = malloc(len + 1);
    assert_non_null(large);
    memset(large, 'x', len);
    large[len] = '\0';
    for (size_t over = 0; over < 2; over++) {
        struct script script = {.probe = {0}, .resource = large + 1 - over};
        struct step_answer got;
        ensure(&script, ALL, &got);
        assert_int_equal(got.code, over ? STEP_CODE_PASSING : STEP_CODE_DONE);
        step_answer_free(&got);
    }
    free(large);
}

static void refusals(void **state) {
    static const struct {
        const char *request;
        int code;
        const char *message;
    } rows[] = {
        {NULL, 1, "HARDY_REQUEST is not set"},
        {"nonsense", 1, "HARDY_REQUEST is not JSON"},
        {"{}", 1, "ensure: the request: Object item not found: probe"},
        {"{\"probe\":[\"probe\"]}", 1, "ensure: the request: Object item not found: create"},
        {"{\"probe\":[\"probe\"],\"create\":[\"create\"],\"updaet\":[]}", 1,
         "ensure: the request: 1 object item(s) left unpacked: updaet"},
        {"{\"probe\":[],\"create\":[\"create\"]}", 1, "ensure: `probe` is a list"},
        {"{\"probe\":\"probe\",\"create\":[\"create\"]}", 1, "ensure: `probe` is a list"},
        {"{\"probe\":[\"probe\"],\"create\":[\"\"]}", 1, "ensure: `create` is a list"},
        {"{\"probe\":[\"probe\"],\"create\":[\"create\",1]}", 1, "ensure: `create` is a list"},
        {"{\"probe\":[\"probe\"],\"create\":[\"create\"],\"update\":[null]}", 1,
         "ensure: `update` is a list"},
        {"{\"probe\":[\"nothing\"],\"create\":[\"create\"]}", 127, "ensure: probe: "},
        {"{\"probe\":[\"probe\"],\"create\":[\"nothing\"]}", 127, "ensure: create: "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script = {.probe = {1}, .resource = ""};
        struct step_answer got;
        ensure(&script, rows[i].request, &got);
        if (got.code != rows[i].code || !str_starts(got.message, rows[i].message)) {
            fail_msg("row %zu: %d: %s", i, got.code, got.message);
        }
        assert_true(strchr(script.ran, 'c') == NULL);
        step_answer_free(&got);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),
        cmocka_unit_test(resources),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
