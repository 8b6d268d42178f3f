/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy supervise explain`: when a child that dies again and again is started again, and when that
 * ends. Nothing is computed here: the machine that supervises is asked. */
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/state.h"
#include "cli/supervising.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAX_TEXT = 1 << 20 };
static const char *const restart_words[] = {"always", "on_failure", "never"};

static void range(int64_t low, int64_t high, char *out, size_t size) {
    char a[48], b[48];
    format_duration_short(low, a);
    format_duration_short(high, b);
    snprintf(out, size, "%s%s%s", a, str_eq(a, b) ? "" : " to ", str_eq(a, b) ? "" : b);
}

static void print_end(const struct child_rules *r, const struct child_schedule *low,
                      const struct child_schedule *high) {
    char when[110], within[48], rest[48];
    range(low->exhausted_at, high->exhausted_at, when, sizeof when);
    format_duration_short(r->within, within);
    if (!low->ends || !high->ends) {
        printf("  it never has more than %u restarts within %s, and is restarted for ever\n",
               r->restarts, within);
        return;
    }
    printf("  more than %u restarts within %s are too many: reached after %s; then ", r->restarts,
           within, when);
    if (low->rest == HARDY_NEVER) {
        printf("it is given up, and a person is told\n");
    } else {
        format_duration_short(low->rest, rest);
        printf("a person is told, and it is tried again every %s\n", rest);
    }
}

static void print_one(const struct child_settings *s, int64_t life) {
    static struct child_schedule low, high;
    char text[48], delay[110], at[110];
    format_duration_short(life, text);
    printf("%s: restart: %s\n", s->name, restart_words[s->restart]);
    if (s->restart == RESTART_NEVER) {
        printf("  it is not restarted\n");
        return;
    }
    child_schedule(&s->rules, life, 0, &low);
    child_schedule(&s->rules, life, UINT64_MAX, &high);
    printf("  when it lives for %s each time and fails:\n", life == 0 ? "no time" : text);
    printf("  restart  delay               after the first start\n");
    uint32_t count = low.count < high.count ? low.count : high.count;
    bool told = false; /* that many are alike */
    for (uint32_t n = 0; n < count; n++) {
        if (n > 0 && n + 1 < count && low.restarts[n].delay == low.restarts[n - 1].delay &&
            high.restarts[n].delay == high.restarts[n - 1].delay) {
            if (!told)
                printf("      ...\n");
            told = true;
            continue;
        }
        range(low.restarts[n].delay, high.restarts[n].delay, delay, sizeof delay);
        range(low.restarts[n].at, high.restarts[n].at, at, sizeof at);
        printf("  %7u  %-18s  %s\n", n + 1, low.restarts[n].delay == 0 ? "at once" : delay, at);
    }
    print_end(&s->rules, &low, &high);
    format_duration_short(s->reset_after, text);
    printf("  ready for 1s it is restarted at once, the first time; ready for %s the delays begin "
           "anew\n",
           text);
}

static void put_span(struct json_out *j, const char *key, int64_t span) {
    json_out_key(j, key);
    json_out_double(j, (double)span / (double)HARDY_SECOND);
}

static void put_one(const struct child_settings *s, int64_t life, struct json_out *j) {
    static struct child_schedule low, high;
    child_schedule(&s->rules, life, 0, &low);
    child_schedule(&s->rules, life, UINT64_MAX, &high);
    json_out_object(j);
    json_out_member_string(j, "name", s->name);
    json_out_member_string(j, "restart", restart_words[s->restart]);
    put_span(j, "life_s", life);
    json_out_key(j, "restarts");
    json_out_array(j);
    for (uint32_t n = 0; n < low.count && n < high.count; n++) {
        json_out_object(j);
        put_span(j, "delay_min_s", low.restarts[n].delay);
        put_span(j, "delay_max_s", high.restarts[n].delay);
        put_span(j, "at_min_s", low.restarts[n].at);
        put_span(j, "at_max_s", high.restarts[n].at);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    bool ends = low.ends && high.ends && s->restart != RESTART_NEVER;
    json_out_key(j, "exhausted");
    if (ends) {
        json_out_object(j);
        put_span(j, "at_min_s", low.exhausted_at);
        put_span(j, "at_max_s", high.exhausted_at);
        json_out_key(j, "retry_after_s");
        if (low.rest == HARDY_NEVER)
            json_out_null(j);
        else
            json_out_double(j, (double)low.rest / (double)HARDY_SECOND);
        json_out_object_end(j);
    } else {
        json_out_null(j);
    }
    put_span(j, "reset_after_s", s->reset_after);
    json_out_object_end(j);
}

static int explain(const struct options *o, const struct schema_list *list, const char *name,
                   int64_t life) {
    const struct child_settings *items = list->items;
    struct buf text;
    struct json_out j;
    bool found = false;
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    json_out_array(&j);
    for (size_t n = 0; n < list->count; n++) {
        if (name && !str_eq(name, items[n].name))
            continue;
        found = true;
        if (o->globals.json)
            put_one(&items[n], life, &j);
        else
            print_one(&items[n], life);
    }
    json_out_array_end(&j);
    if (o->globals.json && (found || !name))
        printf("%s\n", text.data ? text.data : "[]");
    buf_free(&text);
    if (!found && name)
        return options_wrong(o, "there is no child `%s` under supervise:", name);
    if (!found)
        say(o, HARDY_LOG_INFO, "there are no children: the configuration has no supervise:");
    return EXIT_DONE;
}

int supervise_explain(const struct options *o, const char *name, int64_t life) {
    struct schema_list list = {0};
    struct config *config;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = config_load(o->globals.config, &config, &error);
    if (status == HARDY_OK) {
        status = children_settings_read(config, &list, &error);
    } else {
        config = NULL;
    }
    int code = status == HARDY_OK ? explain(o, &list, name, life) : EXIT_USAGE;
    if (status != HARDY_OK)
        say_error(o, &error);
    children_settings_free(&list);
    config_free(config);
    return code;
}
