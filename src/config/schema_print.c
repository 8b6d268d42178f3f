/* SPDX-License-Identifier: Apache-2.0 */
/* The schema table as text for people: `hardy validate --schema`. */
#include "config/schema.h"
#include <string.h>

#define WIDEST_TYPE 30 /* a longer one pushes its own line's columns, not everybody's */

void schema_type_text(const struct schema_key *key, struct buf *out) {
    static const char *const texts[] = {
        [SCHEMA_DURATION] = "duration",
        [SCHEMA_INTEGER] = "whole number",
        [SCHEMA_UNSIGNED] = "whole number",
        [SCHEMA_NUMBER] = "number",
        [SCHEMA_SIZE] = "size",
        [SCHEMA_RATE] = "rate",
        [SCHEMA_BOOL] = "true|false",
        [SCHEMA_STRING] = "text",
        [SCHEMA_NAME] = "name",
        [SCHEMA_ENUM] = "",
        [SCHEMA_COMMAND] = "command",
        [SCHEMA_STRINGS] = "list of texts",
        [SCHEMA_NODE] = "any",
        [SCHEMA_MAP] = "map",
        [SCHEMA_LIST] = "list of maps",
        [SCHEMA_NAMED] = "map of names",
    };
    buf_puts(out, texts[key->kind]);
    for (size_t i = 0; key->kind == SCHEMA_ENUM && key->words[i]; i++) {
        buf_printf(out, "%s%s", i > 0 ? "|" : "", key->words[i]);
    }
    if (key->min && key->max) {
        buf_printf(out, " %s to %s", key->min, key->max);
    } else if (key->min || key->max) {
        buf_printf(out, " %s %s", key->min ? "from" : "to", key->min ? key->min : key->max);
    }
    if (key->never) {
        buf_puts(out, "|never");
    }
    if (key->off_offset > 0) {
        buf_puts(out, "|off");
    }
}

struct columns {
    size_t name, type, def;
};

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static void measure(const struct schema_section *section, size_t indent, bool named,
                    struct columns *widths) {
    for (size_t i = named ? 1 : 0; i < section->count; i++) {
        const struct schema_key *key = &section->keys[i];
        struct buf type;
        buf_init(&type, 1024);
        schema_type_text(key, &type);
        widths->name = larger(widths->name, indent + strlen(key->name) + 1);
        if (type.len <= WIDEST_TYPE) {
            widths->type = larger(widths->type, type.len);
        }
        widths->def = larger(widths->def, key->required ? strlen("required")
                                                        : strlen(key->def ? key->def : "-"));
        buf_free(&type);
        if (key->section) {
            bool inner_named = key->kind == SCHEMA_NAMED;
            measure(key->section, indent + (key->kind == SCHEMA_MAP ? 2 : 4), inner_named, widths);
        }
    }
}

static void put_spaces(size_t count, struct buf *out) {
    while (count-- > 0) {
        buf_putc(out, ' ');
    }
}

static void put_column(const char *text, size_t width, struct buf *out) {
    size_t len = strlen(text);
    buf_puts(out, text);
    put_spaces((len < width ? width - len : 0) + 2, out);
}

static void put_section(const struct schema_section *section, size_t indent, bool named,
                        const struct columns *widths, struct buf *out);

static void put_key(const struct schema_key *key, size_t indent, const struct columns *widths,
                    struct buf *out) {
    struct buf text;
    buf_init(&text, 1024);
    put_spaces(indent, out);
    buf_printf(&text, "%s%s", key->name, key->section ? ":" : "");
    put_column(text.data ? text.data : "", widths->name - indent, out);
    buf_reset(&text);
    schema_type_text(key, &text);
    put_column(text.data ? text.data : "", widths->type, out);
    buf_free(&text);
    put_column(key->required ? "required" : key->def ? key->def : "-", widths->def, out);
    buf_printf(out, "%s\n", key->help ? key->help : "");
    if (key->kind == SCHEMA_NAMED) {
        put_spaces(indent + 2, out);
        buf_puts(out, "NAME:\n");
        put_section(key->section, indent + 4, true, widths, out);
    } else if (key->kind == SCHEMA_LIST) {
        put_spaces(indent + 2, out);
        buf_puts(out, "-\n");
        put_section(key->section, indent + 4, false, widths, out);
    } else if (key->section) {
        put_section(key->section, indent + 2, false, widths, out);
    }
}

static void put_section(const struct schema_section *section, size_t indent, bool named,
                        const struct columns *widths, struct buf *out) {
    for (size_t i = named ? 1 : 0; i < section->count; i++) {
        put_key(&section->keys[i], indent, widths, out);
    }
}

void schema_print(const struct schema_section *section, int indent, struct buf *out) {
    struct columns widths = {0};
    measure(section, (size_t)indent, false, &widths);
    put_section(section, (size_t)indent, false, &widths, out);
}
