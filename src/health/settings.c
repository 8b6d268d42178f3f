/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "health/check.h"
#include "io/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct schema_key process_keys[] = {
    {.name = "pid_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_process, pid_file),
     .help = "a file with its process id"},
    {.name = "name",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_process, name),
     .help = "of its program, such as nginx; one such process that runs is enough"},
};
static const struct schema_section process_section = {"process", process_keys, COUNT(process_keys),
                                                      sizeof(struct check_process)};

static const struct schema_key number_keys[] = {
    {.name = "command",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct check_number, command),
     .help = "prints it"},
    {.name = "file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_number, file),
     .help = "path of a file that holds it"},
    {.name = "http",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_number, http),
     .help = "URL that answers it"},
    {.name = "json",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_number, json),
     .help = "where it is in the JSON that comes, such as data.result.0.value.1; without it the "
             "text is the number"},
    {.name = "below",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct check_number, below),
     .given_offset = offsetof(struct check_number, has_below),
     .help = "passes only below it"},
    {.name = "above",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct check_number, above),
     .given_offset = offsetof(struct check_number, has_above),
     .help = "passes only above it"},
};
static const struct schema_section number_section = {"number", number_keys, COUNT(number_keys),
                                                     sizeof(struct check_number)};

static const struct schema_key redis_keys[] = {
    {.name = "address",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_redis, address),
     .required = true,
     .help = "HOST:PORT"},
    {.name = "user",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_redis, user),
     .help = "whose password it is; the default user's without it"},
    {.name = "password_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_redis, password_file),
     .also = "password",
     .help = "a file with the password; read each time"},
};
static const struct schema_section redis_section = {"redis", redis_keys, COUNT(redis_keys),
                                                    sizeof(struct check_redis)};

static const struct schema_key postgresql_keys[] = {
    {.name = "address",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_postgresql, address),
     .required = true,
     .help = "HOST:PORT"},
    {.name = "user",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_postgresql, user),
     .def = "postgres",
     .help = "to say it is; nobody logs in"},
    {.name = "database",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_postgresql, database),
     .def = "postgres",
     .help = "to ask for"},
};
static const struct schema_section postgresql_section = {
    "postgresql", postgresql_keys, COUNT(postgresql_keys), sizeof(struct check_postgresql)};

static const struct schema_key last_keys[] = {
    {.name = "count",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct check_last, count),
     .def = "5",
     .min = "1",
     .max = "64",
     .help = "so many failures"},
    {.name = "of",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct check_last, of),
     .def = "15",
     .min = "1",
     .max = "64",
     .help = "among so many results"},
};
static const struct schema_section last_section = {"failures_in_last", last_keys, COUNT(last_keys),
                                                   sizeof(struct check_last)};

static const struct schema_key flap_keys[] = {
    {.name = "high",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct check_flap, high),
     .def = "0.5",
     .min = "0.01",
     .max = "1",
     .help = "share of changes from which on it flaps"},
    {.name = "low",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct check_flap, low),
     .def = "0.25",
     .min = "0",
     .max = "1",
     .help = "share of changes below which it no longer does"},
};
static const struct schema_section flap_section = {"flap", flap_keys, COUNT(flap_keys),
                                                   sizeof(struct check_flap)};

/* The kinds first, in the order of enum check_kind. */
#define KIND(k) .given_offset = offsetof(struct check_settings, given) + (k) * sizeof(bool)
static const struct schema_key check_keys[] = {
    [CHECK_HTTP] = {.name = "http",
                    .kind = SCHEMA_STRING,
                    .offset = offsetof(struct check_settings, http),
                    KIND(CHECK_HTTP),
                    .help = "URL; passes on 2xx and 3xx"},
    [CHECK_TCP] = {.name = "tcp",
                   .kind = SCHEMA_STRING,
                   .offset = offsetof(struct check_settings, tcp),
                   KIND(CHECK_TCP),
                   .help = "HOST:PORT; passes when it connects"},
    [CHECK_COMMAND] = {.name = "command",
                       .kind = SCHEMA_COMMAND,
                       .offset = offsetof(struct check_settings, command),
                       KIND(CHECK_COMMAND),
                       .help = "passes on exit 0; 126 and 127 are unknown, for it did not run"},
    [CHECK_MEMORY] = {.name = "memory_below",
                      .kind = SCHEMA_NUMBER,
                      .offset = offsetof(struct check_settings, memory_below),
                      KIND(CHECK_MEMORY),
                      .min = "0.01",
                      .max = "1",
                      .help = "share of the container's or host's memory in use"},
    [CHECK_DISK] = {.name = "disk",
                    .kind = SCHEMA_STRING,
                    .offset = offsetof(struct check_settings, disk),
                    KIND(CHECK_DISK),
                    .help = "path on a file system; passes while disk_free is left"},
    [CHECK_PROCESS] = {.name = "process",
                       .kind = SCHEMA_MAP,
                       .offset = offsetof(struct check_settings, process),
                       KIND(CHECK_PROCESS),
                       .section = &process_section,
                       .help = "passes while it runs, and is neither stopped nor a zombie"},
    [CHECK_NUMBER] = {.name = "number",
                      .kind = SCHEMA_MAP,
                      .offset = offsetof(struct check_settings, number),
                      KIND(CHECK_NUMBER),
                      .section = &number_section,
                      .help = "such as the depth of a queue; passes within its bounds, unknown "
                              "when there is no number"},
    [CHECK_GUARD] = {.name = "guard",
                     .kind = SCHEMA_NAME,
                     .offset = offsetof(struct check_settings, guard),
                     KIND(CHECK_GUARD),
                     .help = "name of a guard that processes of this host share; fails while its "
                             "breaker is open"},
    [CHECK_REDIS] = {.name = "redis",
                     .kind = SCHEMA_MAP,
                     .offset = offsetof(struct check_settings, redis),
                     KIND(CHECK_REDIS),
                     .section = &redis_section,
                     .shorthand = "address",
                     .help = "HOST:PORT of a Redis server; passes when it answers PING"},
    [CHECK_POSTGRESQL] = {.name = "postgresql",
                          .kind = SCHEMA_MAP,
                          .offset = offsetof(struct check_settings, postgresql),
                          KIND(CHECK_POSTGRESQL),
                          .section = &postgresql_section,
                          .shorthand = "address",
                          .help = "HOST:PORT of a PostgreSQL server; passes when it takes "
                                  "connections"},
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct check_settings, name),
     .required = true,
     .help = "of the check"},
    {.name = "disk_free",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct check_settings, disk_free),
     .def = "1GiB",
     .help = "for disk"},
    {.name = "response_below",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct check_settings, response_below),
     .min = "1ms",
     .help = "an answer that took as long has failed; less than the timeout"},
    {.name = "interval",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct check_settings, interval),
     .def = "10s",
     .min = "10ms",
     .max = "1d",
     .help = "time from one start to the next"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct check_settings, timeout),
     .def = "1s",
     .min = "1ms",
     .max = "1h",
     .help = "without an answer until then it has failed; not above the interval"},
    {.name = "grace",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct check_settings, grace),
     .def = "30s",
     .max = "1d",
     .help = "from its beginning to watch, failures before the first pass are unknown"},
    {.name = "failure_threshold",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct check_settings, failure_threshold),
     .def = "3",
     .min = "1",
     .max = "1000",
     .help = "failures in a row until it is down"},
    {.name = "failures_in_last",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct check_settings, failures_in_last),
     .off_offset = offsetof(struct check_settings, failures_in_last.off),
     .section = &last_section,
     .help = "failures among the last results that make it down too; or off"},
    {.name = "success_threshold",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct check_settings, success_threshold),
     .def = "2",
     .min = "1",
     .max = "1000",
     .help = "passes in a row until it is up again"},
    {.name = "flap",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct check_settings, flap),
     .off_offset = offsetof(struct check_settings, flap.off),
     .section = &flap_section,
     .help = "when it changes too often to act upon, of the last 21 results; or off"},
    {.name = "critical",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct check_settings, critical),
     .def = "false",
     .help = "down makes /health/ready answer 503, else it only warns; not for what all replicas "
             "share, or one blip takes them all out"},
};
const struct schema_section check_section = {"checks", check_keys, COUNT(check_keys),
                                             sizeof(struct check_settings)};

const char *check_kind_text(enum check_kind kind) {
    return check_keys[kind].name;
}

/* --- what it looks at ------------------------------------------------------------------------- */

static const char *address_text(const struct check_settings *c) {
    return c->kind == CHECK_TCP          ? c->tcp
           : c->kind == CHECK_REDIS      ? c->redis.address
           : c->kind == CHECK_POSTGRESQL ? c->postgresql.address
                                         : NULL;
}

static const char *url_text(const struct check_settings *c) {
    return c->kind == CHECK_HTTP ? c->http : c->kind == CHECK_NUMBER ? c->number.http : NULL;
}

bool check_address(const struct check_settings *c, struct http_authority *out) {
    const char *address = address_text(c), *url = url_text(c);
    struct http_url parsed;
    if (address)
        return http_authority_parse(address, strlen(address), out, NULL) == HARDY_OK;
    if (!url || http_url_parse(url, &parsed, NULL) != HARDY_OK)
        return false;
    *out = parsed.authority;
    http_url_free(&parsed);
    return true;
}

static void put_command(const struct schema_command *command, struct buf *out) {
    if (command->shell)
        buf_puts(out, command->argv[3]);
    for (char **word = command->argv; !command->shell && *word; word++)
        buf_printf(out, "%s%s", word == command->argv ? "" : " ", *word);
}

void check_target(const struct check_settings *c, struct buf *out) {
    switch (c->kind) {
    case CHECK_COMMAND:
        put_command(&c->command, out);
        break;
    case CHECK_MEMORY:
        buf_printf(out, "below %g", c->memory_below);
        break;
    case CHECK_DISK:
        buf_puts(out, c->disk);
        break;
    case CHECK_PROCESS:
        buf_puts(out, c->process.pid_file ? c->process.pid_file : c->process.name);
        break;
    case CHECK_NUMBER:
        if (c->number.command.argv)
            put_command(&c->number.command, out);
        else
            buf_puts(out, c->number.file ? c->number.file : c->number.http);
        break;
    case CHECK_GUARD:
        buf_puts(out, c->guard);
        break;
    case CHECK_HTTP:
        buf_puts(out, c->http);
        break;
    default:
        buf_puts(out, address_text(c));
    }
}

/* --- what the table cannot say ---------------------------------------------------------------- */

/* The node of the check's kind, or a key below it. */
static const struct yaml_node *kind_node(const struct yaml_node *node,
                                         const struct check_settings *c, const char *key) {
    const struct yaml_node *kind = yaml_get(node, check_kind_text(c->kind));
    const struct yaml_node *below = key ? yaml_get(kind, key) : NULL;
    return below ? below : kind;
}

static hardy_status find_kind(const struct yaml_node *node, struct check_settings *c,
                              hardy_error *error) {
    char kinds[200] = "";
    int count = 0;
    for (int k = 0; k < CHECK_KINDS; k++) {
        size_t used = strlen(kinds);
        snprintf(kinds + used, sizeof kinds - used, "%s%s", k ? ", " : "", check_keys[k].name);
        if (c->given[k]) {
            c->kind = (enum check_kind)k;
            count++;
        }
    }
    return count == 1 ? HARDY_OK
                      : yaml_fail(node, error, "check `%s` has %s; one of %s is needed", c->name,
                                  count ? "several kinds" : "no kind", kinds);
}

static hardy_status look_at_times(const struct yaml_node *node, const struct check_settings *c,
                                  hardy_error *error) {
    char a[48], b[48];
    format_duration(c->timeout, a);
    if (c->timeout > c->interval) {
        format_duration(c->interval, b);
        return yaml_fail(node, error, "check `%s`: timeout %s is above its interval %s", c->name, a,
                         b);
    }
    if (c->response_below == 0)
        return HARDY_OK;
    const struct yaml_node *at = yaml_get(node, "response_below");
    format_duration(c->response_below, b);
    if (c->kind != CHECK_HTTP && !address_text(c))
        return yaml_fail(at, error,
                         "check `%s`: response_below goes with http, tcp, redis and postgresql",
                         c->name);
    if (c->response_below >= c->timeout)
        return yaml_fail(at, error,
                         "check `%s`: response_below %s is not less than its timeout %s, after "
                         "which nothing is waited for",
                         c->name, b, a);
    return HARDY_OK;
}

static hardy_status look_at_judgement(const struct yaml_node *node, const struct check_settings *c,
                                      hardy_error *error) {
    if (!c->failures_in_last.off && c->failures_in_last.count > c->failures_in_last.of)
        return yaml_fail(yaml_get(node, "failures_in_last"), error,
                         "check `%s`: %u failures cannot be among %u results", c->name,
                         c->failures_in_last.count, c->failures_in_last.of);
    if (!c->flap.off && c->flap.low >= c->flap.high)
        return yaml_fail(yaml_get(node, "flap"), error,
                         "check `%s`: flap's low %g is not below its high %g", c->name, c->flap.low,
                         c->flap.high);
    return HARDY_OK;
}

static hardy_status look_at_kind(const struct yaml_node *node, const struct check_settings *c,
                                 hardy_error *error) {
    const struct check_number *n = &c->number;
    int sources = (n->command.argv != NULL) + (n->file != NULL) + (n->http != NULL);
    if (c->kind == CHECK_PROCESS && !c->process.pid_file == !c->process.name)
        return yaml_fail(kind_node(node, c, NULL), error,
                         "check `%s`: one of pid_file and name is needed", c->name);
    if (c->redis.user && !c->redis.password_file)
        return yaml_fail(kind_node(node, c, "user"), error,
                         "check `%s`: the user needs a password_file", c->name);
    if (c->kind == CHECK_NUMBER && sources != 1)
        return yaml_fail(kind_node(node, c, NULL), error,
                         "check `%s`: the number has %s; one of command, file, http is needed",
                         c->name, sources ? "several sources" : "no source");
    if (c->kind == CHECK_NUMBER && !n->has_below && !n->has_above)
        return yaml_fail(kind_node(node, c, NULL), error,
                         "check `%s`: the number has no bound; below or above is needed", c->name);
    if (c->kind == CHECK_NUMBER && n->has_below && n->has_above && n->below <= n->above)
        return yaml_fail(kind_node(node, c, "below"), error,
                         "check `%s`: no number is below %g and above %g", c->name, n->below,
                         n->above);
    return HARDY_OK;
}

static hardy_status look_at_address(const struct yaml_node *node, const struct check_settings *c,
                                    hardy_error *error) {
    const char *address = address_text(c), *url = url_text(c);
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (url) {
        struct http_url parsed;
        if (http_url_parse(url, &parsed, &why) != HARDY_OK)
            return yaml_fail(kind_node(node, c, "http"), error, "check `%s`: %s", c->name,
                             why.message);
        http_url_free(&parsed);
    }
    struct http_authority parsed;
    if (address && (http_authority_parse(address, strlen(address), &parsed, &why) != HARDY_OK ||
                    parsed.port == 0))
        return yaml_fail(kind_node(node, c, "address"), error,
                         "check `%s`: `%s` is not HOST:PORT, such as 127.0.0.1:5432", c->name,
                         address);
    return HARDY_OK;
}

static hardy_status check_one(const struct yaml_node *node, struct check_settings *c,
                              hardy_error *error) {
    hardy_status status = find_kind(node, c, error);
    if (status == HARDY_OK)
        status = look_at_times(node, c, error);
    if (status == HARDY_OK)
        status = look_at_judgement(node, c, error);
    if (status == HARDY_OK)
        status = look_at_kind(node, c, error);
    return status == HARDY_OK ? look_at_address(node, c, error) : status;
}

hardy_status checks_read(const struct config *config, struct schema_list *list,
                         hardy_error *error) {
    const struct yaml_node *node = config_section(config, "checks");
    *list = (struct schema_list){0};
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_LIST)
        return yaml_fail(node, error, "checks: a list of checks is needed");
    struct check_settings *items = calloc(node->count + 1, sizeof *items);
    if (!items)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for %zu checks", node->count);
    list->items = items;
    for (size_t i = 0; i < node->count; i++) {
        hardy_status status = schema_read(&check_section, node->items[i], &items[i], error);
        list->count = i + 1;
        if (status == HARDY_OK) {
            items[i].folder = file_folder(config->path ? config->path : "");
            status = items[i].folder ? HARDY_OK
                                     : fail(error, HARDY_E_NOMEM, NULL, "no memory for checks");
        }
        if (status == HARDY_OK)
            status = check_one(node->items[i], &items[i], error);
        for (size_t k = 0; k < i && status == HARDY_OK; k++)
            if (str_eq(items[k].name, items[i].name))
                status = yaml_fail(node->items[i], error,
                                   "there are two checks of the name `%s`; the first is in line %d",
                                   items[i].name, node->items[k]->line);
        if (status != HARDY_OK)
            return status;
    }
    return HARDY_OK;
}

void checks_use_state(struct schema_list *list, const char *state) {
    struct check_settings *items = list->items;
    for (size_t i = 0; i < list->count; i++)
        items[i].state = state;
}

void checks_free(struct schema_list *list) {
    struct check_settings *items = list->items;
    for (size_t i = 0; i < list->count; i++) {
        free(items[i].folder);
        schema_free(&check_section, &items[i]);
    }
    free(items);
    *list = (struct schema_list){0};
}
