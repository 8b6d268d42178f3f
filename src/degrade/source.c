/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/source.h"
#include "base/json.h"
#include "base/str.h"
#include "http/url.h"
#include <hardy/env.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define AT(member) .offset = offsetof(struct source_settings, member)

static const char *const strategies[] = {"cache_fallback",   "static_fallback", "alternate_source",
                                         "partial_response", "fail_fast",       NULL};

#define NAME(what)                                                                                 \
    { .name = "name", .kind = SCHEMA_NAME, AT(name), .help = what }
#define WHERE                                                                                      \
    {.name = "http",                                                                               \
     .kind = SCHEMA_STRING,                                                                        \
     AT(http),                                                                                     \
     .help = "URL to read: JSON, nginx's stub_status, or text"},                                   \
        {.name = "file",                                                                           \
         .kind = SCHEMA_STRING,                                                                    \
         AT(file),                                                                                 \
         .help = "file whose last lines are read"},                                                \
        {.name = "process",                                                                        \
         .kind = SCHEMA_STRING,                                                                    \
         AT(process),                                                                              \
         .help = "pid file: states of that process and of its children"},                          \
        {.name = "command",                                                                        \
         .kind = SCHEMA_COMMAND,                                                                   \
         AT(command),                                                                              \
         .help = "command whose standard output is read"},                                         \
        {.name = "tail",                                                                           \
         .kind = SCHEMA_SIZE,                                                                      \
         AT(tail),                                                                                 \
         .def = "8KiB",                                                                            \
         .min = "1",                                                                               \
         .max = "1MiB",                                                                            \
         .help = "bytes read from the end of a file"},                                             \
    {                                                                                              \
        .name = "timeout", .kind = SCHEMA_DURATION, AT(timeout), .def = "5s", .min = "1ms",        \
        .max = "5m", .help = "time this source may take"                                           \
    }
#define WEIGHT                                                                                     \
    {                                                                                              \
        .name = "weight", .kind = SCHEMA_NUMBER, AT(weight), .def = "1", .min = "0.001",           \
        .max = "1000", .help = "share in the degradation level"                                    \
    }
#define STATIC                                                                                     \
    {                                                                                              \
        .name = "static", .kind = SCHEMA_STRING, AT(fixed),                                        \
        .help = "JSON that stands in when nothing else comes"                                      \
    }
#define GUARD                                                                                      \
    {                                                                                              \
        .name = "guard", .kind = SCHEMA_NAME, AT(guard),                                           \
        .help = "name under guards: that protects it; without it, it is asked once"                \
    }

static const struct schema_key source_keys[] = {
    NAME("of the component in the evidence"),
    WHERE,
    {.name = "critical",
     .kind = SCHEMA_BOOL,
     AT(critical),
     .def = "false",
     .help = "without it the evidence counts as failed"},
    WEIGHT,
    STATIC,
    {.name = "cache",
     .kind = SCHEMA_DURATION,
     AT(cache),
     .def = "0s",
     .max = "7d",
     .help = "how old the last good answer may be that stands in; 0s = none"},
};
const struct schema_section source_section = {"source", source_keys, COUNT(source_keys),
                                              sizeof(struct source_settings)};

static const struct schema_key alternate_keys[] = {WHERE, GUARD};
static const struct schema_section alternate_section = {
    "alternate", alternate_keys, COUNT(alternate_keys), sizeof(struct source_settings)};

static const struct schema_key component_keys[] = {
    NAME("of the component in the answer"),
    WHERE,
    GUARD,
    {.name = "alternates",
     .kind = SCHEMA_LIST,
     AT(alternates),
     .section = &alternate_section,
     .help = "other sources, asked in this order when the one before has failed"},
    {.name = "strategy",
     .kind = SCHEMA_ENUM,
     AT(strategy),
     .words = strategies,
     .def = "cache_fallback",
     .help = "what there is when the source fails: see docs/degrade.md"},
    {.name = "cache",
     .kind = SCHEMA_DURATION,
     AT(cache),
     .max = "7d",
     .given_offset = offsetof(struct source_settings, given_cache),
     .help = "how old the last good answer may be that stands in; 1h with cache_fallback, "
             "else none; 0s = none"},
    {.name = "cache_key",
     .kind = SCHEMA_STRING,
     AT(cache_key),
     .help = "under which it is kept, for components that are the same; GATHERING/COMPONENT "
             "without it"},
    {.name = "refresh",
     .kind = SCHEMA_DURATION,
     AT(refresh),
     .def = "0s",
     .max = "1d",
     .help = "so long a good answer is as good as a new one, and nothing is asked"},
    STATIC,
    WEIGHT,
    {.name = "critical",
     .kind = SCHEMA_BOOL,
     AT(critical),
     .def = "false",
     .help = "without it the whole has failed"},
    {.name = "fresh_only",
     .kind = SCHEMA_BOOL,
     AT(fresh_only),
     .def = "false",
     .help = "accuracy, safety, compliance: an error rather than an old or a static answer"},
};
const struct schema_section component_section = {"component", component_keys, COUNT(component_keys),
                                                 sizeof(struct source_settings)};

static const char *kind_of(const struct source_settings *s) {
    return s->name ? s->name : "alternate";
}

hardy_status source_check(const struct yaml_node *node, const struct source_settings *s,
                          hardy_error *error) {
    int kinds =
        (s->http != NULL) + (s->file != NULL) + (s->process != NULL) + (s->command.argv != NULL);
    if (kinds != 1)
        return yaml_fail(node, error,
                         "source `%s` has %s; one of http, file, process, command is needed",
                         kind_of(s), kinds ? "several kinds" : "no kind");
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    struct http_url url;
    if (s->http && http_url_parse(s->http, &url, &why) != HARDY_OK)
        return yaml_fail(yaml_get(node, "http"), error, "source `%s`: %s", kind_of(s), why.message);
    if (s->http)
        http_url_free(&url);
    if (s->fixed && json_check(s->fixed, strlen(s->fixed), &why) != HARDY_OK)
        return yaml_fail(yaml_get(node, "static"), error,
                         "source `%s`: static: `%s` is not JSON; a text needs quotes inside the "
                         "quotes: '\"text\"'",
                         s->name, s->fixed);
    return HARDY_OK;
}

/* --- components ------------------------------------------------------------------------------- */

enum { MAX_CACHE_KEY = 200 };

static hardy_status check_strategy(const struct yaml_node *node, const struct source_settings *s,
                                   hardy_error *error) {
    const char *word = strategies[s->strategy];
    bool bare = s->strategy == STRATEGY_PARTIAL_RESPONSE || s->strategy == STRATEGY_FAIL_FAST;
    if (s->strategy == STRATEGY_STATIC_FALLBACK && !s->fixed)
        return yaml_fail(node, error, "component `%s`: %s needs `static`", s->name, word);
    if (s->strategy == STRATEGY_ALTERNATE_SOURCE && s->alternates.count == 0)
        return yaml_fail(node, error, "component `%s`: %s needs `alternates`", s->name, word);
    if ((bare || s->fresh_only) && (s->fixed || s->cache > 0))
        return yaml_fail(node, error,
                         "component `%s`: with %s nothing stands in: leave out `%s`, or choose "
                         "otherwise",
                         s->name, s->fresh_only ? "fresh_only" : word,
                         s->fixed ? "static" : "cache");
    if (s->fresh_only && s->refresh > 0)
        return yaml_fail(node, error,
                         "component `%s`: with fresh_only it is asked each time: leave out "
                         "`refresh`",
                         s->name);
    if (s->cache_key && (!s->cache_key[0] || strlen(s->cache_key) > MAX_CACHE_KEY))
        return yaml_fail(node, error, "component `%s`: cache_key has to have 1 to %d bytes",
                         s->name, MAX_CACHE_KEY);
    return HARDY_OK;
}

hardy_status component_settle(const struct yaml_node *node, struct source_settings *s,
                              hardy_error *error) {
    const struct source_settings *alternates = s->alternates.items;
    const struct yaml_node *list = node ? yaml_get(node, "alternates") : NULL;
    hardy_status status = source_check(node, s, error);
    for (size_t i = 0; status == HARDY_OK && i < s->alternates.count; i++)
        status = source_check(list ? list->items[i] : node, &alternates[i], error);
    if (status == HARDY_OK)
        status = check_strategy(node, s, error);
    if (!s->given_cache && s->strategy == STRATEGY_CACHE_FALLBACK && !s->fresh_only)
        s->cache = HARDY_HOUR;
    return status;
}
