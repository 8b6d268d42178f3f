/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "base/error.h"
#include "base/str.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_VALUE ((size_t)1 << 20) /* of one expanded scalar */
#define MAX_TOP 64

static hardy_status no_memory(hardy_error *error) {
    return fail(error, HARDY_E_NOMEM, NULL, "out of memory");
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* --- the environment in values ---------------------------------------------------------------- */

static size_t name_length(const char *text) {
    size_t len = 0;
    while (text[len] == '_' || (text[len] >= 'A' && text[len] <= 'Z') ||
           (text[len] >= 'a' && text[len] <= 'z') ||
           (len > 0 && text[len] >= '0' && text[len] <= '9')) {
        len++;
    }
    return len;
}

/* What stands behind "${" in `text`, put into `out`; *used = bytes up to and with the "}". */
static hardy_status expand_one(const struct yaml_node *node, const char *text, size_t *used,
                               struct buf *out, hardy_error *error) {
    size_t len = name_length(text), end = len;
    bool fallback = text[len] == ':' && text[len + 1] == '-';
    if (fallback) {
        end = len + strcspn(text + len, "}");
    }
    int shown = (int)(strcspn(text, "}") < 40 ? strcspn(text, "}") : 40);
    if (len == 0 || text[end] != '}') {
        return yaml_fail(node, error,
                         "`${%.*s` is not a variable: expected ${NAME} or ${NAME:-default}; "
                         "$${ writes ${",
                         shown, text);
    }
    if (fallback && memmem(text, end, "${", 2)) {
        return yaml_fail(node, error, "the default of `${%.*s}` cannot hold another variable",
                         (int)len, text);
    }
    char *name = str_ndup(text, len);
    if (!name) {
        return no_memory(error);
    }
    const char *value = fallback ? variable(name) : getenv(name);
    free(name);
    *used = end + 1;
    if (value) {
        buf_puts(out, value);
    } else if (fallback) {
        buf_append(out, text + len + 2, end - len - 2);
    } else {
        return yaml_fail(node, error,
                         "the environment has no %.*s; set it, or write ${%.*s:-default}", (int)len,
                         text, (int)len, text);
    }
    return HARDY_OK;
}

static hardy_status expand_text(struct yaml_file *file, struct yaml_node *node,
                                hardy_error *error) {
    const char *text = node->text;
    struct buf out;
    buf_init(&out, MAX_VALUE);
    hardy_status status = HARDY_OK;
    for (const char *mark; status == HARDY_OK && (mark = strstr(text, "${")) != NULL;) {
        bool literal = mark > text && mark[-1] == '$';
        size_t used = 0;
        buf_append(&out, text, (size_t)(mark - text) - (literal && mark[2] != '{' ? 1 : 0));
        text = mark + 2;
        if (literal || *text == '{') {
            buf_puts(&out, "${");
        } else {
            status = expand_one(node, text, &used, &out, error);
            text += used;
        }
    }
    buf_puts(&out, text);
    if (status == HARDY_OK && out.failed) {
        status = out.full
                     ? yaml_fail(node, error,
                                 "with its variables the value is larger than %zu bytes", MAX_VALUE)
                     : no_memory(error);
    }
    if (status == HARDY_OK) {
        if (!str_valid_utf8(out.data, out.len)) {
            status = yaml_fail(node, error, "with its variables the value is not UTF-8");
        } else {
            node->text = yaml_keep(file, out.data, out.len);
            status = node->text ? HARDY_OK : no_memory(error);
        }
    }
    buf_free(&out);
    return status;
}

static hardy_status expand(struct yaml_file *file, struct yaml_node *node, hardy_error *error) {
    if (node->kind == YAML_SCALAR && strstr(node->text, "${")) {
        return expand_text(file, node, error);
    }
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < node->count && status == HARDY_OK; i++) {
        status = expand(file, node->items[i], error);
    }
    return status;
}

/* --- the file --------------------------------------------------------------------------------- */

/* `file` taken, NULL = none. */
static hardy_status finish(struct yaml_file *file, struct config **out, hardy_error *error) {
    struct config *config = calloc(1, sizeof *config);
    hardy_status status = config ? HARDY_OK : no_memory(error);
    if (config && file) {
        config->path = str_dup(file->path);
        status = config->path ? expand(file, file->root, error) : no_memory(error);
    }
    if (status != HARDY_OK) {
        yaml_close(file);
        config_free(config);
        return status;
    }
    config->file = file;
    *out = config;
    return HARDY_OK;
}

/* DIRECTORY/hardy/hardy.yaml of the variable, or of HOME. NULL: no such place. */
static char *home_path(const char *name, const char *below_home, const char *file) {
    const char *directory = variable(name), *home = variable("HOME");
    if (directory && *directory == '/') { /* the XDG rules ignore relative ones */
        return str_format("%s/hardy/%s", directory, file);
    }
    return home ? str_format("%s/%s/hardy/%s", home, below_home, file) : NULL;
}

static bool absent(const char *path) {
    return access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* The first of the places that has a file; NULL = none has. */
static char *find_file(void) {
    const char *named = variable("HARDY_CONFIG");
    if (named) {
        return str_dup(named);
    }
    char *places[] = {str_dup("hardy.yaml"), home_path("XDG_CONFIG_HOME", ".config", "hardy.yaml"),
                      str_dup("/etc/hardy/hardy.yaml")};
    char *found = NULL;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (!found && places[i] && !absent(places[i])) {
            found = places[i];
        } else {
            free(places[i]);
        }
    }
    return found;
}

hardy_status config_load(const char *path, struct config **out, hardy_error *error) {
    *out = NULL;
    char *found = path ? str_dup(path) : find_file();
    struct yaml_file *file = NULL;
    if (!found) {
        return path ? no_memory(error) : finish(NULL, out, error);
    }
    hardy_status status = yaml_load(found, &file, error);
    if (status == HARDY_E_NOT_FOUND && !path) {
        error_prefix(error, "HARDY_CONFIG names a file that is not there");
    }
    free(found);
    return status == HARDY_OK ? finish(file, out, error) : status;
}

hardy_status config_load_bytes(const char *path, const char *bytes, size_t len, struct config **out,
                               hardy_error *error) {
    *out = NULL;
    struct yaml_file *file;
    hardy_status status = yaml_parse(path, bytes, len, &file, error);
    return status == HARDY_OK ? finish(file, out, error) : status;
}

void config_free(struct config *config) {
    if (config) {
        yaml_close(config->file);
        free(config->path);
        free(config);
    }
}

const struct yaml_node *config_section(const struct config *config, const char *name) {
    return config && config->file ? yaml_get(config->file->root, name) : NULL;
}

hardy_status config_check_top(const struct config *config, const char *const *names,
                              hardy_error *error) {
    if (!config || !config->file || config->file->root->kind == YAML_NULL) {
        return HARDY_OK;
    }
    struct schema_key keys[MAX_TOP] = {0};
    struct schema_section top = {.name = "the configuration", .keys = keys};
    const struct yaml_node *nodes[MAX_TOP];
    top.size = sizeof nodes;
    for (; names[top.count] && top.count < MAX_TOP; top.count++) {
        keys[top.count] = (struct schema_key){
            .name = names[top.count], .kind = SCHEMA_NODE, .offset = top.count * sizeof nodes[0]};
    }
    return schema_read(&top, config->file->root, nodes, error);
}

/* --- the state -------------------------------------------------------------------------------- */

static hardy_status state_of_file(const struct config *config, const struct yaml_node *node,
                                  char **out, hardy_error *error) {
    if (node->kind != YAML_SCALAR || *node->text == '\0') {
        return yaml_fail(node, error, "`state` is %s; expected a path, memory, or postgresql://...",
                         node->kind == YAML_SCALAR ? "empty" : yaml_kind_text(node));
    }
    const char *text = node->text, *slash = strrchr(config->path, '/');
    if (*text == '/' || strcmp(text, "memory") == 0 || strstr(text, "://") || !slash) {
        *out = str_dup(text);
    } else {
        *out = str_format("%.*s/%s", (int)(slash - config->path), config->path, text);
    }
    return *out ? HARDY_OK : no_memory(error);
}

hardy_status config_state_path(const struct config *config, const char *flag, char **out,
                               hardy_error *error) {
    *out = NULL;
    const char *given = flag && *flag ? flag : variable("HARDY_STATE");
    const struct yaml_node *node = config_section(config, "state");
    if (flag && !*flag) {
        return fail(error, HARDY_E_INVALID, "--state",
                    "is empty; expected a path, memory, or postgresql://...");
    }
    if (given) {
        *out = str_dup(given);
        return *out ? HARDY_OK : no_memory(error);
    }
    if (node) {
        return state_of_file(config, node, out, error);
    }
    const char *directory =
        variable("STATE_DIRECTORY"); /* systemd's, with colons between several */
    *out = directory ? str_format("%.*s/hardy.db", (int)strcspn(directory, ":"), directory)
                     : home_path("XDG_STATE_HOME", ".local/state", "hardy.db");
    if (!*out) {
        return fail(error, HARDY_E_NOT_FOUND, "state",
                    "no place for it: neither --state, HARDY_STATE, `state:` in the "
                    "configuration, XDG_STATE_HOME nor HOME is set");
    }
    return HARDY_OK;
}
