/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random scenario files, right and wrong ones. Whatever a file says:
 *
 *   - it is refused with its place and a message, and by scenario_check() as well; or it runs;
 *   - a run is told with the same bytes twice, and its figures are numbers.
 */
#include "random_scenarios.h"
#include "sim/story.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t)4 << 20)
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* --- what is tried -------------------------------------------------------------------------- */

static const char *const junk[] = {"",
                                   "30",
                                   "-1s",
                                   "~",
                                   "[]",
                                   "{}",
                                   "nan/s",
                                   "1e300/s",
                                   "0/s",
                                   "x",
                                   "off",
                                   "1d",
                                   "5m: 2",
                                   "4294967296",
                                   "\"",
                                   "*none",
                                   "&a 1s",
                                   "!!int 3",
                                   "0",
                                   "1ns",
                                   "-0",
                                   "1e-9/d",
                                   "999999999999999999999d"};

/* One of the values that are right, or now and then what is not. */
static void put_value(struct buf *b, struct prng *p, const char *key, const char *values) {
    size_t count = 1;
    for (const char *at = values; *at; at++) {
        count += *at == '|';
    }
    buf_printf(b, "%s: ", key);
    if (prng_below(p, 60) == 0) {
        buf_puts(b, junk[prng_below(p, COUNT(junk))]);
        return;
    }
    const char *value = values;
    for (size_t skip = prng_below(p, count); skip > 0; skip--) {
        value += strcspn(value, "|") + 1;
    }
    buf_append(b, value, strcspn(value, "|"));
}

struct choice {
    const char *key, *values;
    unsigned of_ten; /* files that have it */
};

static void put_map(struct buf *b, struct prng *p, const struct choice *choices, size_t count) {
    const char *comma = "";
    buf_putc(b, '{');
    for (size_t i = 0; i < count; i++) {
        if (prng_below(p, 10) < choices[i].of_ten) {
            buf_puts(b, comma);
            put_value(b, p, choices[i].key, choices[i].values);
            comma = ", ";
        }
    }
    buf_puts(b, "}\n");
}

static void put_phase(struct buf *b, struct prng *p) {
    static const struct choice ways[][4] = {
        {{"fail", "down|reset|overloaded|rate_limit", 10}, {"share", "0|0.2|1", 4}},
        {{"fail", "hang|slow_first", 10}, {"delay", "1ms|5s|1m", 5}},
        {{"fail", "status", 10},
         {"status", "400|429|500|503|599", 10},
         {"retry_after", "0s|3s", 5}},
        {{"capacity", "0|0.001|0.3|1", 10}},
    };
    static const struct choice when[] = {
        {"from", "0s|1s|20s|59s|2m", 10}, {"for", "1ms|10s|1m|1d", 10}, {"name", "a|\"ü\"|'{'", 3}};
    const struct choice *way = ways[prng_below(p, COUNT(ways))];
    struct choice all[COUNT(when) + COUNT(*ways)];
    size_t count = 0;
    for (size_t i = 0; i < COUNT(when); i++) {
        all[count++] = when[i];
    }
    for (size_t i = 0; i < COUNT(*ways) && way[i].key; i++) {
        all[count++] = way[i];
    }
    buf_puts(b, "  - ");
    put_map(b, p, all, count);
}

static void put_scenario(struct buf *b, struct prng *p) {
    static const struct choice clients[] = {{"count", "1|2|20", 9}, {"think", "1s|10s|1h", 7}};
    static const struct choice open[] = {{"count", "1|20", 10}, {"rate", "1/s|6/m|1/d", 10}};
    static const struct choice server[] = {
        {"capacity", "1/d|1/s|40/s", 8}, {"service_time", "0s|200ms|1h", 8},
        {"queue", "0s|2s|1d", 6},        {"when_full", "overloaded|rate_limit", 3},
        {"retry_after", "0s|7s", 3},     {"abandoned", "executed|dropped", 4}};
    put_value(b, p, "duration", "1s|59s|90s|100500ms");
    buf_puts(b, "\nclients: ");
    if (prng_below(p, 3)) {
        put_map(b, p, clients, COUNT(clients));
    } else {
        put_map(b, p, open, COUNT(open));
    }
    buf_puts(b, "server: ");
    put_map(b, p, server, COUNT(server));
    buf_puts(b, "phases:\n");
    for (uint64_t i = prng_below(p, 3) + prng_below(p, 8) / 7; i < 3; i++) {
        put_phase(b, p);
    }
    if (b->len > 0 && prng_below(p, 8) == 0) { /* a slip of the hand */
        b->data[prng_below(p, b->len)] = (char)prng_below(p, 256);
    }
}

/* --- what must hold ------------------------------------------------------------------------- */

static bool wrong(char why[RANDOM_WHY], const char *format, ...) HARDY_PRINTF(2, 3);
static bool wrong(char why[RANDOM_WHY], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, RANDOM_WHY, format, args);
    va_end(args);
    return false;
}

static void ignore(void *ctx, const hardy_error *problem) {
    (void)ctx;
    (void)problem;
}

static bool has_place(const hardy_error *error) {
    int line, column;
    return sscanf(error->where, "random:%d:%d", &line, &column) == 2 && line >= 1 && line < 20 &&
           column >= 1;
}

/* All that is told of a run. */
static void tell(const struct scenario *s, const struct fleet_result *r,
                 const hardy_guard_config *guard, uint64_t seed, struct buf *out) {
    struct measures m;
    struct chart chart;
    struct plan plan;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    measure(s, r, &m);
    plan_of_guard(&plan, guard, s->clients.count, scenario_per_second(s->server.capacity),
                  m.utilisation * scenario_per_second(s->server.capacity));
    struct story story = {.name = "random",
                          .scenario = s,
                          .guard = guard,
                          .seed = seed,
                          .result = r,
                          .measures = &m,
                          .chart = &chart,
                          .plan = &plan};
    if (measure_chart(s, r, "random", &chart, &error) == HARDY_OK) {
        story_table(&story, out);
        story_verdict(&story, out);
        story_json(&story, out);
        chart_plot(&chart, 80, true, out);
        chart_svg(&chart, out);
    }
    chart_free(&chart);
}

static bool runs(const struct scenario *s, const hardy_guard_config *guard, uint64_t seed,
                 char why[RANDOM_WHY]) {
    static struct fleet_result result;
    struct buf told[2];
    bool good = true;
    for (int i = 0; i < 2; i++) {
        const struct fleet_options options = {
            .scenario = s, .guard = guard, .repeatable = seed % 2, .seed = seed};
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        buf_init(&told[i], TEXT_MAX);
        if (fleet_run(&options, &result, &error) == HARDY_OK) {
            tell(s, &result, guard, seed, &told[i]);
        } else {
            good = wrong(why, "it does not run: %s", error.message);
        }
        fleet_result_free(&result);
    }
    if (good && (told[0].failed || told[0].len == 0 || told[0].len != told[1].len ||
                 memcmp(told[0].data, told[1].data, told[0].len) != 0)) {
        good = wrong(why, "another run is told otherwise");
    }
    if (good && (strstr(told[0].data, "nan") || strstr(told[0].data, "inf"))) {
        good = wrong(why, "a figure is no number");
    }
    buf_free(&told[0]);
    buf_free(&told[1]);
    return good;
}

bool random_scenario(uint64_t seed, const hardy_guard_config *guard, bool *accepted,
                     char why[RANDOM_WHY]) {
    struct scenario s;
    struct prng p;
    struct buf text;
    struct yaml_file *file = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    prng_seed(&p, seed);
    buf_init(&text, TEXT_MAX);
    put_scenario(&text, &p);
    hardy_status status = scenario_parse("random", text.data, text.len, &s, &error);
    *accepted = status == HARDY_OK;
    bool good = true;
    if (yaml_parse("random", text.data, text.len, &file, NULL) == HARDY_OK) {
        size_t problems = scenario_check(file->root, ignore, NULL);
        good = (problems == 0) == *accepted ||
               wrong(why, "%zu problems, and: %s", problems, error.message);
    }
    if (good && !*accepted) {
        good = (has_place(&error) && error.message[0]) ||
               wrong(why, "refused at \"%s\" with \"%s\"", error.where, error.message);
    } else if (good) {
        good = runs(&s, guard, seed, why);
    }
    if (!good) {
        size_t len = strlen(why);
        snprintf(why + len, RANDOM_WHY - len, "\n%.*s", (int)text.len, text.data);
    }
    yaml_close(file);
    scenario_free(&s);
    buf_free(&text);
    return good;
}
