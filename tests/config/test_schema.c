/* SPDX-License-Identifier: Apache-2.0 */
/* The schema table: what each kind reads, its defaults, and the words of each refusal. */
#include "../cmocka_all.h"
#include "base/parse.h"
#include "base/str.h"
#include "config/schema.h"
#include <hardy/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* --- a section with a key of every kind ------------------------------------------------------- */

struct pause {
    int64_t base;
    double factor;
    bool given_base, given_factor;
};
struct item {
    char *name;
    char *url;
    uint32_t weight;
};
struct thing {
    int64_t interval, deadline, offset;
    uint32_t threshold;
    double ratio;
    uint64_t size;
    struct rate rate;
    bool critical;
    char *title;
    char *service;
    int mode, color;
    struct schema_command run;
    struct schema_strings tags;
    const struct yaml_node *free;
    struct pause pause;
    bool pause_given, pause_off;
    struct schema_list items, upstreams;
    bool threshold_given;
};

static const struct schema_key pause_keys[] = {
    {"base", SCHEMA_DURATION, offsetof(struct pause, base), .def = "1s", .flag = "--base",
     .given_offset = offsetof(struct pause, given_base), .also = "initial_delay start",
     .help = "the first pause"},
    {"factor", SCHEMA_NUMBER, offsetof(struct pause, factor), .def = "2", .min = "1", .max = "100",
     .given_offset = offsetof(struct pause, given_factor), .help = "growth"},
};
static const struct schema_section pause_section = {"pause", pause_keys, COUNT(pause_keys),
                                                    sizeof(struct pause)};
static const struct schema_key item_keys[] = {
    {"name", SCHEMA_NAME, offsetof(struct item, name), .required = true, .help = "its name"},
    {"url", SCHEMA_STRING, offsetof(struct item, url), .required = true, .help = "where it is"},
    {"weight", SCHEMA_UNSIGNED, offsetof(struct item, weight), .def = "1", .help = "its share"},
};
static const struct schema_section item_section = {"an item", item_keys, COUNT(item_keys),
                                                   sizeof(struct item)};
static const char *const modes[] = {"window", "consecutive", NULL};
static const char *const colors[] = {"red", "green", NULL};
static const struct schema_key thing_keys[] = {
    {"interval", SCHEMA_DURATION, offsetof(struct thing, interval), .def = "10s", .min = "100ms",
     .max = "1d", .help = "time between two runs"},
    {"deadline", SCHEMA_DURATION, offsetof(struct thing, deadline), .def = "never", .never = true,
     .flag = "--deadline --all", .help = "for all"},
    {"offset", SCHEMA_INTEGER, offsetof(struct thing, offset), .def = "-3", .help = "shift"},
    {"threshold", SCHEMA_UNSIGNED, offsetof(struct thing, threshold), .def = "5", .min = "1",
     .max = "64", .given_offset = offsetof(struct thing, threshold_given), .help = "how many"},
    {"ratio", SCHEMA_NUMBER, offsetof(struct thing, ratio), .def = "0.1", .min = "0",
     .help = "share"},
    {"size", SCHEMA_SIZE, offsetof(struct thing, size), .def = "64KiB", .max = "1MiB",
     .help = "bytes"},
    {"rate", SCHEMA_RATE, offsetof(struct thing, rate), .def = "10/s", .help = "how often"},
    {"critical", SCHEMA_BOOL, offsetof(struct thing, critical), .def = "true", .help = "or not"},
    {"title", SCHEMA_STRING, offsetof(struct thing, title), .def = "none", .help = "text"},
    {"service", SCHEMA_NAME, offsetof(struct thing, service), .help = "which"},
    {"mode", SCHEMA_ENUM, offsetof(struct thing, mode), .def = "window", .words = modes,
     .help = "how"},
    {"color", SCHEMA_ENUM, offsetof(struct thing, color), .words = colors, .help = "which one"},
    {"run", SCHEMA_COMMAND, offsetof(struct thing, run), .help = "what"},
    {"tags", SCHEMA_STRINGS, offsetof(struct thing, tags), .def = "a,b", .flag = "--tags",
     .help = "words"},
    {"free", SCHEMA_NODE, offsetof(struct thing, free), .help = "anything"},
    {"pause", SCHEMA_MAP, offsetof(struct thing, pause), .section = &pause_section,
     .shorthand = "base", .given_offset = offsetof(struct thing, pause_given),
     .off_offset = offsetof(struct thing, pause_off), .flag = "--pause", .help = "between runs"},
    {"items", SCHEMA_LIST, offsetof(struct thing, items), .section = &item_section,
     .help = "in order"},
    {"upstreams", SCHEMA_NAMED, offsetof(struct thing, upstreams), .section = &item_section,
     .help = "by name"},
};
static const struct schema_section thing_section = {"thing", thing_keys, COUNT(thing_keys),
                                                    sizeof(struct thing)};

static struct yaml_file *yaml(const char *text) {
    struct yaml_file *file;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (yaml_parse("f.yaml", text, strlen(text), &file, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return file;
}

static struct yaml_file *read_good(const char *text, struct thing *out) {
    struct yaml_file *file = yaml(text);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (schema_read(&thing_section, file->root, out, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return file;
}

static void defaults(void **state) {
    (void)state;
    struct thing t;
    assert_int_equal(schema_read(&thing_section, NULL, &t, NULL), HARDY_OK);
    assert_int_equal(t.interval, 10 * HARDY_SECOND);
    assert_int_equal(t.deadline, HARDY_NEVER);
    assert_int_equal(t.offset, -3);
    assert_int_equal(t.threshold, 5);
    assert_true(t.ratio == 0.1);
    assert_int_equal(t.size, 65536);
    assert_true(t.rate.events == 10 && t.rate.period == HARDY_SECOND);
    assert_true(t.critical);
    assert_string_equal(t.title, "none");
    assert_null(t.service);
    assert_int_equal(t.mode, 0);
    assert_int_equal(t.color, -1);
    assert_null(t.run.argv);
    assert_int_equal(t.tags.count, 2);
    assert_string_equal(t.tags.items[1], "b");
    assert_null(t.free);
    assert_int_equal(t.pause.base, HARDY_SECOND);
    assert_false(t.pause_given || t.pause_off || t.pause.given_base || t.threshold_given);
    assert_int_equal(t.items.count + t.upstreams.count, 0);
    schema_free(&thing_section, &t);
}

static void every_kind(void **state) {
    (void)state;
    struct thing t;
    struct yaml_file *file =
        read_good("interval: 1h30m\n"
                  "deadline: 5s\n"
                  "offset: -7\n"
                  "threshold: '64'\n"
                  "ratio: 2.5\n"
                  "size: 1MiB\n"
                  "rate: 50/m\n"
                  "critical: false\n"
                  "title: 12\n"
                  "service: api.v2\n"
                  "mode: consecutive\n"
                  "color: green\n"
                  "run: [\"prog\", \"an arg\"]\n"
                  "tags: [x, '', 3]\n"
                  "free: {any: [1]}\n"
                  "pause: {factor: 3}\n"
                  "items: [{name: one, url: u}, {name: two, url: v, weight: 9}]\n"
                  "upstreams: {far: {url: w}, near: {url: x, weight: 2}}\n",
                  &t);
    assert_int_equal(t.interval, 90 * HARDY_MINUTE);
    assert_int_equal(t.deadline, 5 * HARDY_SECOND);
    assert_int_equal(t.offset, -7);
    assert_int_equal(t.threshold, 64);
    assert_true(t.threshold_given);
    assert_true(t.ratio == 2.5);
    assert_int_equal(t.size, 1 << 20);
    assert_true(t.rate.events == 50 && t.rate.period == HARDY_MINUTE);
    assert_false(t.critical);
    assert_string_equal(t.title, "12");
    assert_string_equal(t.service, "api.v2");
    assert_int_equal(t.mode, 1);
    assert_int_equal(t.color, 1);
    assert_string_equal(t.run.argv[0], "prog");
    assert_string_equal(t.run.argv[1], "an arg");
    assert_null(t.run.argv[2]);
    assert_false(t.run.shell);
    assert_int_equal(t.tags.count, 3);
    assert_string_equal(t.tags.items[1], "");
    assert_null(t.tags.items[3]);
    assert_ptr_equal(t.free, yaml_get(file->root, "free"));
    assert_true(t.pause_given && t.pause.given_factor && !t.pause.given_base && !t.pause_off);
    assert_true(t.pause.factor == 3);
    assert_int_equal(t.pause.base, HARDY_SECOND);
    const struct item *items = t.items.items, *upstreams = t.upstreams.items;
    assert_int_equal(t.items.count, 2);
    assert_string_equal(items[0].name, "one");
    assert_int_equal(items[0].weight, 1);
    assert_int_equal(items[1].weight, 9);
    assert_int_equal(t.upstreams.count, 2);
    assert_string_equal(upstreams[0].name, "far");
    assert_string_equal(upstreams[1].url, "x");
    assert_int_equal(upstreams[1].weight, 2);
    yaml_close(file); /* strings and lists are the structure's own */
    assert_string_equal(upstreams[1].name, "near");
    schema_free(&thing_section, &t);
}

static void short_forms(void **state) {
    (void)state;
    struct thing t;
    yaml_close(read_good("pause: 3s\nrun: make | tee log\ntags: one\nitems:\n", &t));
    assert_int_equal(t.pause.base, 3 * HARDY_SECOND);
    assert_true(t.pause_given && t.pause.given_base && !t.pause_off);
    assert_true(t.run.shell);
    assert_string_equal(t.run.argv[0], "/bin/sh");
    assert_string_equal(t.run.argv[1], "-eu");
    assert_string_equal(t.run.argv[2], "-c");
    assert_string_equal(t.run.argv[3], "make | tee log");
    assert_null(t.run.argv[4]);
    assert_int_equal(t.tags.count, 1);
    assert_string_equal(t.tags.items[0], "one");
    schema_free(&thing_section, &t);

    yaml_close(read_good("pause: off\n", &t));
    assert_true(t.pause_given && t.pause_off);
    schema_free(&thing_section, &t);
    yaml_close(read_good("pause:\n", &t)); /* nothing behind it: the defaults */
    assert_true(t.pause_given && !t.pause_off);
    schema_free(&thing_section, &t);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        int line, column;
        const char *message;
    } rows[] = {
        {"treshold: 3\n", 1, 1, "unknown key `treshold` at the top; did you mean `threshold`?"},
        {"a: 1\n", 1, 1,
         "unknown key `a` at the top; known are interval, deadline, offset, threshold, ratio, "
         "size, rate, critical, title, service, mode, color, run, tags, free, pause, items, "
         "upstreams"},
        {"factor: 3\n", 1, 1, "unknown key `factor` at the top; did you mean `pause.factor`?"},
        {"factr: 3\n", 1, 1, "unknown key `factr` at the top; did you mean `pause.factor`?"},
        {"pause:\n  initial_delay: 3s\n", 2, 3,
         "unknown key `initial_delay` in pause; did you mean `base`?"},
        {"start: 3s\n", 1, 1, "unknown key `start` at the top; did you mean `pause.base`?"},
        {"items: [{name: a, url: u}, {nmae: b}]\n", 1, 29,
         "unknown key `nmae` in items[1]; did you mean `name`?"},
        {"upstreams: {far: {port: 5}}\n", 1, 19,
         "unknown key `port` in upstreams.far; known are url, weight"},
        {"upstreams: {far: {name: x}}\n", 1, 19,
         "unknown key `name` in upstreams.far; its name is the key that it stands under"},
        {"interval: 30\n", 1, 11,
         "`interval`: expected a duration such as 250ms, 30s, 2m, 1h30m or 7d; \"30\" has no unit"},
        {"interval: 50ms\n", 1, 11,
         "`interval`: expected a duration from 100ms to 1d, not \"50ms\""},
        {"interval: 2d\n", 1, 11, "`interval`: expected a duration from 100ms to 1d, not \"2d\""},
        {"interval: [1s]\n", 1, 11, "`interval` is a list; expected a duration from 100ms to 1d"},
        {"interval:\n", 1, 10, "`interval` is empty; expected a duration from 100ms to 1d"},
        {"interval: never\n", 1, 11,
         "`interval`: expected a duration such as 250ms, 30s, 2m, 1h30m or 7d, not \"never\""},
        {"deadline: {}\n", 1, 11, "`deadline` is a map; expected a duration such as 30s, or never"},
        {"offset: 1.5\n", 1, 9, "`offset`: expected a whole number, not \"1.5\""},
        {"threshold: -1\n", 1, 12, "`threshold`: expected a whole number from 1 to 64, not \"-1\""},
        {"threshold: five\n", 1, 12,
         "`threshold`: expected a whole number from 1 to 64, not \"five\""},
        {"threshold: 65\n", 1, 12, "`threshold`: expected a whole number from 1 to 64, not \"65\""},
        {"ratio: -0.1\n", 1, 8, "`ratio`: expected a number of at least 0, not \"-0.1\""},
        {"ratio: 1e999\n", 1, 8, "`ratio`: expected a number of at least 0, not \"1e999\""},
        {"size: 2MiB\n", 1, 7, "`size`: expected a size of at most 1MiB, not \"2MiB\""},
        {"rate: 10\n", 1, 7,
         "`rate`: expected a rate such as 10/s, 50/m, 5/h or 100/d, not \"10\""},
        {"critical: yes\n", 1, 11, "`critical`: expected true or false, not \"yes\""},
        {"title:\n", 1, 7, "`title` is empty; expected text"},
        {"title: {a: b}\n", 1, 8, "`title` is a map; expected text"},
        {"service: my api\n", 1, 10,
         "`service`: expected a name: letters, digits, \".\", \"_\", \"-\", at most 63, first a "
         "letter or digit, not \"my api\""},
        {"mode: windw\n", 1, 7,
         "`mode`: expected one of window, consecutive, not \"windw\"; did you mean window?"},
        {"mode: x\n", 1, 7, "`mode`: expected one of window, consecutive, not \"x\""},
        {"run: []\n", 1, 6, "`run` is an empty list; its first item names the program"},
        {"run: ['']\n", 1, 6, "`run` names no program: its first item is empty"},
        {"run: [a, [b]]\n", 1, 10, "item 2 of `run` is a list; expected text"},
        {"run: {}\n", 1, 6,
         "`run` is a map; expected a command: a list such as [\"prog\", \"arg\"], or a line for "
         "the shell"},
        {"run: ''\n", 1, 6,
         "`run`: expected a command: a list such as [\"prog\", \"arg\"], or a line for the shell, "
         "not \"\""},
        {"tags: {a: b}\n", 1, 7, "`tags` is a map; expected a list of texts"},
        {"pause: [1s]\n", 1, 8, "`pause` is a list; expected a map with the keys base, factor"},
        {"pause: 30\n", 1, 8,
         "`base`: expected a duration such as 250ms, 30s, 2m, 1h30m or 7d; \"30\" has no unit"},
        {"items: {a: b}\n", 1, 8, "`items` is a map; expected a list"},
        {"items: [x]\n", 1, 9, "an item is text; expected a map with the keys of an item"},
        {"items: [{url: u}]\n", 1, 9, "`name` is missing in items[0] (its name)"},
        {"upstreams: [a]\n", 1, 12, "`upstreams` is a list; expected a map of names"},
        {"upstreams: {far: x}\n", 1, 18, "`far` is text; expected a map with the keys of an item"},
        {"upstreams: {far: {weight: 2}}\n", 1, 18,
         "`url` is missing in upstreams.far (where it is)"},
        {"upstreams: {a b: {url: x}}\n", 1, 13,
         "`a b` cannot be a name: letters, digits, \".\", \"_\", \"-\", at most 63, first a letter "
         "or digit"},
        {"- a\n", 1, 1,
         "thing is a list; expected a map with the keys interval, deadline, offset, threshold, "
         "ratio, size, rate, critical, title, service, mode, color, run, tags, free, pause, "
         "items, upstreams"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct yaml_file *file = yaml(rows[i].yaml);
        struct thing t;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        char where[64];
        snprintf(where, sizeof where, "f.yaml:%d:%d", rows[i].line, rows[i].column);
        if (schema_read(&thing_section, file->root, &t, &error) != HARDY_E_SYNTAX) {
            fail_msg("accepted: %s", rows[i].yaml);
        }
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.where, where);
        schema_free(&thing_section, &t);
        assert_int_equal(schema_read(&thing_section, file->root, &t, NULL), HARDY_E_SYNTAX);
        schema_free(&thing_section, &t);
        yaml_close(file);
    }
}

static void set_by_path(void **state) {
    (void)state;
    struct thing t;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(schema_defaults(&thing_section, &t), HARDY_OK);
    assert_int_equal(schema_set(&thing_section, "pause.base", "7s", "preset", false, &t, &error),
                     HARDY_OK);
    assert_int_equal(t.pause.base, 7 * HARDY_SECOND);
    assert_false(t.pause_given || t.pause.given_base);
    assert_int_equal(schema_set(&thing_section, "pause.factor", "4", "preset", true, &t, &error),
                     HARDY_OK);
    assert_true(t.pause_given && t.pause.given_factor && !t.pause.given_base);
    assert_int_equal(schema_set(&thing_section, "title", "new", "preset", true, &t, &error),
                     HARDY_OK);
    assert_string_equal(t.title, "new");
    assert_int_equal(schema_set(&thing_section, "pause.bse", "4", "preset", true, &t, &error),
                     HARDY_E_NOT_FOUND);
    assert_int_equal(schema_set(&thing_section, "pause", "off", "preset", true, &t, &error),
                     HARDY_OK);
    assert_true(t.pause_off);
    assert_int_equal(schema_set(&thing_section, "pause", "2s", "preset", true, &t, &error),
                     HARDY_OK);
    assert_false(t.pause_off);
    assert_int_equal(t.pause.base, 2 * HARDY_SECOND);
    schema_free(&thing_section, &t);
}

static void set_by_flag(void **state) {
    (void)state;
    struct thing t;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(schema_defaults(&thing_section, &t), HARDY_OK);
    assert_int_equal(schema_set_flag(&thing_section, "--base", "250ms", &t, &error), HARDY_OK);
    assert_int_equal(t.pause.base, 250 * HARDY_MILLISECOND);
    assert_true(t.pause_given && t.pause.given_base);
    assert_int_equal(schema_set_flag(&thing_section, "--tags", "x,,y", &t, &error), HARDY_OK);
    assert_int_equal(t.tags.count, 3);
    assert_string_equal(t.tags.items[2], "y");
    assert_int_equal(schema_set_flag(&thing_section, "--deadline", "30", &t, &error),
                     HARDY_E_SYNTAX);
    assert_string_equal(error.where, "--deadline");
    assert_string_equal(
        error.message,
        "expected a duration such as 250ms, 30s, 2m, 1h30m or 7d; \"30\" has no unit");
    assert_int_equal(schema_set_flag(&thing_section, "--all", "30s", &t, &error), HARDY_OK);
    assert_int_equal(t.deadline, 30 * HARDY_SECOND);
    assert_int_equal(schema_set_flag(&thing_section, "--deadlin", "30s", &t, &error),
                     HARDY_E_NOT_FOUND);
    schema_free(&thing_section, &t);
}

/* A second map over the first changes only what it names. */
static void applied_over(void **state) {
    (void)state;
    struct thing t;
    struct yaml_file *over = yaml("threshold: 7\npause: {factor: 9}\nitems: []\ntags: [z]\n");
    yaml_close(read_good("interval: 1s\npause: {base: 5s}\nitems: [{name: a, url: u}]\n", &t));
    assert_int_equal(schema_apply(&thing_section, over->root, false, &t, NULL), HARDY_OK);
    assert_int_equal(t.interval, HARDY_SECOND);
    assert_int_equal(t.threshold, 7);
    assert_int_equal(t.pause.base, 5 * HARDY_SECOND);
    assert_true(t.pause.factor == 9);
    assert_int_equal(t.items.count, 0);
    assert_int_equal(t.tags.count, 1);
    yaml_close(over);

    struct item item;
    over = yaml("name: x\nurl: u\n");
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(schema_defaults(&item_section, &item), HARDY_OK);
    assert_int_equal(schema_apply(&item_section, over->root, true, &item, &error), HARDY_E_SYNTAX);
    assert_string_equal(error.message,
                        "unknown key `name` at the top; its name is the key that it stands under");
    yaml_close(over);
    schema_free(&item_section, &item);
    schema_free(&thing_section, &t);
}

struct told {
    char text[2048];
    size_t count;
};

static void note(void *ctx, const hardy_error *problem) {
    struct told *told = ctx;
    size_t len = strlen(told->text);
    snprintf(told->text + len, sizeof told->text - len, "%s %.24s\n", problem->where,
             problem->message);
    told->count++;
}

static void tells_every_problem(void **state) {
    (void)state;
    struct yaml_file *file = yaml("treshold: 1\n"
                                  "interval: 5\n"
                                  "pause: {base: x, factr: 1}\n"
                                  "items: [{url: u}, {name: b, url: c, weight: -1}, x]\n"
                                  "upstreams: {a b: {}, c: {url: d}}\n"
                                  "title: fine\n");
    struct told told = {0};
    assert_int_equal(schema_check(&thing_section, file->root, note, &told), 9);
    assert_int_equal(told.count, 9);
    assert_string_equal(told.text, "f.yaml:1:1 unknown key `treshold` a\n"
                                   "f.yaml:2:11 `interval`: expected a d\n"
                                   "f.yaml:3:15 `base`: expected a durat\n"
                                   "f.yaml:3:18 unknown key `factr` in p\n"
                                   "f.yaml:4:9 `name` is missing in ite\n"
                                   "f.yaml:4:45 `weight`: expected a who\n"
                                   "f.yaml:4:50 an item is text; expecte\n"
                                   "f.yaml:5:13 `a b` cannot be a name: \n"
                                   "f.yaml:5:18 `url` is missing in upst\n");
    yaml_close(file);
    file = yaml("title: fine\n");
    assert_int_equal(schema_check(&thing_section, file->root, note, &told), 0);
    yaml_close(file);
}

static bool collect(void *ctx, const char *path, const struct schema_key *key) {
    struct buf *out = ctx;
    (void)key;
    buf_printf(out, "%s ", path);
    return strcmp(path, "upstreams.NAME.url") != 0;
}

static void walks(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    schema_each(&thing_section, collect, &out);
    assert_string_equal(out.data, "interval deadline offset threshold ratio size rate critical "
                                  "title service mode color run tags free pause pause.base "
                                  "pause.factor items items[].name items[].url items[].weight "
                                  "upstreams upstreams.NAME.url ");
    buf_free(&out);
}

static void prints(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 65536);
    schema_print(&thing_section, 2, &out);
    static const char expected[] =
        "  interval     duration 100ms to 1d  10s       time between two runs\n"
        "  deadline     duration|never        never     for all\n"
        "  offset       whole number          -3        shift\n"
        "  threshold    whole number 1 to 64  5         how many\n"
        "  ratio        number from 0         0.1       share\n"
        "  size         size to 1MiB          64KiB     bytes\n"
        "  rate         rate                  10/s      how often\n"
        "  critical     true|false            true      or not\n"
        "  title        text                  none      text\n"
        "  service      name                  -         which\n"
        "  mode         window|consecutive    window    how\n"
        "  color        red|green             -         which one\n"
        "  run          command               -         what\n"
        "  tags         list of texts         a,b       words\n"
        "  free         any                   -         anything\n"
        "  pause:       map|off               -         between runs\n"
        "    base       duration              1s        the first pause\n"
        "    factor     number 1 to 100       2         growth\n"
        "  items:       list of maps          -         in order\n"
        "    -\n"
        "      name     name                  required  its name\n"
        "      url      text                  required  where it is\n"
        "      weight   whole number          1         its share\n"
        "  upstreams:   map of names          -         by name\n"
        "    NAME:\n"
        "      url      text                  required  where it is\n"
        "      weight   whole number          1         its share\n";
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),     cmocka_unit_test(every_kind),
        cmocka_unit_test(short_forms),  cmocka_unit_test(refusals),
        cmocka_unit_test(set_by_path),  cmocka_unit_test(set_by_flag),
        cmocka_unit_test(applied_over), cmocka_unit_test(tells_every_problem),
        cmocka_unit_test(walks),        cmocka_unit_test(prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
