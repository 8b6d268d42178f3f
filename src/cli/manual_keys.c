/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manual.h"
#include "cli/mdoc.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
} types[] = {
    {"duration", "250ms, 30s, 2m, 1h30m, 7d; without a unit it is refused"},
    {"rate", "10/s, 50/m, 5/h, 100/d"},
    {"size", "bytes: 65536, 64KiB, 10MB"},
    {"name", "letters, digits, `.`, `_` and `-`, at most 63, the first a letter or a digit"},
    {"command", "a list is the program and its arguments, [\"prog\", \"an arg\"]; a text is a line "
                "for /bin/sh -eu"},
    {"list of texts", "[a, b], or one text alone"},
};

void manual_key(const char *shown, const struct schema_key *key) {
    struct buf type;
    buf_init(&type, 4096);
    schema_type_text(key, &type);
    printf(".It Cm ");
    mdoc_text(shown, strlen(shown));
    printf(" : ");
    mdoc_text(type.data, type.len);
    if (key->required || key->def) {
        printf(" Pq %s", key->required ? "required" : "default ");
        mdoc_text(key->required ? "" : key->def, key->required ? 0 : strlen(key->def));
    }
    putchar('\n');
    buf_free(&type);
    mdoc_flow(key->help, strlen(key->help));
}

void manual_values(void) {
    puts(".Ss Values\n.Bl -tag -width \"list of texts\"");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        printf(".It %s\n", types[i].name);
        mdoc_flow(types[i].text, strlen(types[i].text));
    }
    puts(".El");
}
