/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/source.h"
#include "base/json.h"
#include "http/url.h"
#include <string.h>

static const struct schema_key source_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct source_settings, name),
     .help = "of the component in the evidence"},
    {.name = "http",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct source_settings, http),
     .help = "URL to read: JSON, nginx's stub_status, or text"},
    {.name = "file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct source_settings, file),
     .help = "file whose last lines are read"},
    {.name = "process",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct source_settings, process),
     .help = "pid file: states of that process and of its children"},
    {.name = "command",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct source_settings, command),
     .help = "command whose standard output is read"},
    {.name = "tail",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct source_settings, tail),
     .def = "8KiB",
     .min = "1",
     .max = "1MiB",
     .help = "bytes read from the end of a file"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct source_settings, timeout),
     .def = "5s",
     .min = "1ms",
     .max = "5m",
     .help = "time this source may take"},
    {.name = "critical",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct source_settings, critical),
     .def = "false",
     .help = "without it the evidence counts as failed"},
    {.name = "weight",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct source_settings, weight),
     .def = "1",
     .min = "0.001",
     .max = "1000",
     .help = "share in the degradation level"},
    {.name = "static",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct source_settings, fixed),
     .help = "JSON that stands in when nothing else comes"},
    {.name = "cache",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct source_settings, cache),
     .def = "0s",
     .max = "7d",
     .help = "how old the last good answer may be that stands in; 0s = none"},
};
const struct schema_section source_section = {"source", source_keys,
                                              sizeof source_keys / sizeof *source_keys,
                                              sizeof(struct source_settings)};

hardy_status source_check(const struct yaml_node *node, const struct source_settings *s,
                          hardy_error *error) {
    int kinds =
        (s->http != NULL) + (s->file != NULL) + (s->process != NULL) + (s->command.argv != NULL);
    if (kinds != 1)
        return yaml_fail(node, error,
                         "source `%s` has %s; one of http, file, process, command is needed",
                         s->name, kinds ? "several kinds" : "no kind");
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    struct http_url url;
    if (s->http && http_url_parse(s->http, &url, &why) != HARDY_OK)
        return yaml_fail(yaml_get(node, "http"), error, "source `%s`: %s", s->name, why.message);
    if (s->http)
        http_url_free(&url);
    if (s->fixed && json_check(s->fixed, strlen(s->fixed), &why) != HARDY_OK)
        return yaml_fail(yaml_get(node, "static"), error,
                         "source `%s`: static: `%s` is not JSON; a text needs quotes inside the "
                         "quotes: '\"text\"'",
                         s->name, s->fixed);
    return HARDY_OK;
}
