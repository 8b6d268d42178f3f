/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H
/*
 * The schema table: one row a key = where it lies in the C structure, how it is parsed, its
 * default, its range, its help. The same rows make defaults, errors, `hardy validate --schema`,
 * flags of `hardy exec` and the manual page. Each room declares the tables of its own sections.
 *
 *     static const struct schema_key keys[] = {
 *         {"interval", SCHEMA_DURATION, offsetof(struct check, interval), .def = "10s",
 *          .min = "100ms", .max = "1d", .help = "time between two runs"},
 *         ...
 *     };
 *     const struct schema_section check_section = {"checks", keys, sizeof keys / sizeof keys[0],
 *                                                  sizeof(struct check)};
 *
 * A structure read through a table owns its strings and lists; schema_free() releases them. Nodes
 * (SCHEMA_NODE) are borrowed from the file.
 */
#include "config/yaml.h"
#include <stddef.h>
#include <stdint.h>

enum schema_kind {
    SCHEMA_DURATION, /* int64_t, ns; "never" where .never is set gives HARDY_NEVER */
    SCHEMA_INTEGER,  /* int64_t */
    SCHEMA_UNSIGNED, /* uint32_t */
    SCHEMA_NUMBER,   /* double */
    SCHEMA_SIZE,     /* uint64_t, bytes */
    SCHEMA_RATE,     /* struct rate */
    SCHEMA_BOOL,     /* bool */
    SCHEMA_STRING,   /* char *; NULL when absent and without default */
    SCHEMA_NAME,     /* char *, checked with str_valid_name() */
    SCHEMA_ENUM,     /* int; index of the word in .words; -1 when absent and without default */
    SCHEMA_COMMAND,  /* struct schema_command: a list = argv, a string = /bin/sh -eu -c */
    SCHEMA_STRINGS,  /* struct schema_strings: a list of strings, or one string */
    SCHEMA_NODE,     /* const struct yaml_node *: left to the room (free maps, expressions) */
    SCHEMA_MAP,      /* a nested structure described by .section, or the short form in .shorthand */
    SCHEMA_LIST,     /* struct schema_list of structures described by .section */
    SCHEMA_NAMED     /* struct schema_list from a map NAME -> structure; the name goes into the
                        section's first key, which must be SCHEMA_NAME */
};
struct schema_command {
    char **argv; /* NULL-terminated; NULL = not given */
    bool shell;  /* was a string: argv = {"/bin/sh", "-eu", "-c", TEXT, NULL} */
};
struct schema_strings {
    char **items; /* NULL-terminated; NULL = not given */
    size_t count;
};
struct schema_list {
    void *items; /* array of the section's structures */
    size_t count;
};
struct schema_section;
struct schema_key {
    const char *name;
    enum schema_kind kind;
    size_t offset;
    const char *def; /* as it would be written in YAML, SCHEMA_STRINGS with commas; NULL = none */
    const char *min, *max;                /* inclusive, as text; NULL = none */
    const char *const *words;             /* SCHEMA_ENUM, NULL-terminated */
    const struct schema_section *section; /* SCHEMA_MAP, _LIST, _NAMED */
    const char *shorthand;                /* SCHEMA_MAP: a scalar stands for {shorthand: scalar} */
    bool required, never;
    size_t given_offset; /* when not 0: a bool at this offset is set if the user gave the key */
    size_t off_offset; /* SCHEMA_MAP, when not 0: a bool at this offset is set by `off` in place of
                          a map */
    const char
        *flag; /* flag of `hardy exec`, "--base-delay", words with spaces between; NULL = none */
    const char *also; /* what others call it, words with spaces between: only named in errors */
    const char *help; /* one line, no full stop */
};
struct schema_section {
    const char *name;
    const struct schema_key *keys;
    size_t count;
    size_t size; /* of the structure */
};

/* Zeroes the structure and fills in the defaults. Fails only without memory. */
hardy_status schema_defaults(const struct schema_section *section, void *out);
/* Defaults, then the node (NULL or null = absent). Unknown keys are refused, the nearest known one
 * named; values out of range are refused with value and range. `out` needs schema_free() also on
 * failure. */
hardy_status schema_read(const struct schema_section *section, const struct yaml_node *node,
                         void *out, hardy_error *error);
/* The node over what is there already, without defaults. `named`: the section's first key is what
 * the node stands under, so it is not looked for inside. */
hardy_status schema_apply(const struct schema_section *section, const struct yaml_node *node,
                          bool named, void *out, hardy_error *error);
/* Reads into a structure of its own and tells every problem, not only the first. Returns how many.
 */
typedef void (*schema_report)(void *ctx, const hardy_error *problem);
size_t schema_check(const struct schema_section *section, const struct yaml_node *node,
                    schema_report report, void *ctx);
/* One key from a string: `path` = "retry.base_delay", `where` = the place for messages; `given` =
 * marked as given by the user. A list of strings is written with commas. E_NOT_FOUND: no such key.
 */
hardy_status schema_set(const struct schema_section *section, const char *path, const char *text,
                        const char *where, bool given, void *out, hardy_error *error);
/* The same for the row that has this flag; `where` is the flag. */
hardy_status schema_set_flag(const struct schema_section *section, const char *flag,
                             const char *text, void *out, hardy_error *error);
void schema_free(const struct schema_section *section, void *out);

/* Every key, outer before inner, with its path ("breaker.counts"; under SCHEMA_NAMED
 * "guards.NAME.retry", under SCHEMA_LIST "steps[].run"). `fn` returns false to stop. */
typedef bool (*schema_visit)(void *ctx, const char *path, const struct schema_key *key);
void schema_each(const struct schema_section *section, schema_visit fn, void *ctx);
/* The table as text for people ("key  type  default  help"), nested keys indented. */
void schema_print(const struct schema_section *section, int indent, struct buf *out);
/* The type of a key's value, with its range: "duration, at least 1ms", "window|consecutive". */
void schema_type_text(const struct schema_key *key, struct buf *out);
#endif
