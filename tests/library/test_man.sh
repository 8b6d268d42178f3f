#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_man.sh SOURCE: the manual pages of section 3 are what the headers say, the headers explain everything, and the
# tool that makes the pages reads what it says it reads.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
source=$1
man3=$source/tools/man3.py

code 'the pages are what the headers say, and everything is explained (make man)' 0 "$man3" check
if command -v mandoc >/dev/null; then
    is 'mandoc finds nothing' "$(mandoc -T lint -W warning "$source"/man/*.3)" ''
else
    skip 'mandoc finds nothing' 'mandoc is not here'
fi
missing=$(comm -13 <(sed -n 's/^\.Nm \(hardy_[a-z_]*\).*/\1/p' "$source"/man/*.3 | sort -u) \
    <(sort -u "$source/src/guard/exports.txt" "$source/src/durable/exports.txt"))
is 'every exported function has a page' "$missing" ''

mkdir include man
cat >include/status.h <<'H'
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_STATUS_H
#define HARDY_STATUS_H
/*
 * Statuses and their texts: more `code`.
 *
 *     kept as it is
 *
 * - one
 * - two,
 *   which goes on
 */
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
#define HARDY_STATUS_MAP(X)                                                                        \
    X(OK, 0, OK, "ok")                                                                             \
    X(E_OPEN, -12, LIMIT, "circuit breaker is open")
/* Which. */
typedef enum hardy_status {
#define X(name, value, class_, text) HARDY_##name = value,
    HARDY_STATUS_MAP(X)
#undef X
} hardy_status;

/* --- things -------- */

/* A thing. */
typedef struct hardy_thing {
    size_t size;
    const char *name; /* for people;
                         required */
    /* Called, one
     * day. */
    void (*fn)(void *ctx, int what);
    int a, b; /* a pair */
} hardy_thing;
typedef enum hardy_kind {
    HARDY_FIRST = 3, /* the first */
    HARDY_SECOND     /* the second */
} hardy_kind;
void hardy_thing_init(hardy_thing *thing, size_t size);
/* Does it. E_OPEN, or not. */
HARDY_API HARDY_MUST_USE hardy_status hardy_do(const hardy_thing *thing,
                                               void (*fn)(void *, int));
HARDY_API int hardy_count(void);
#ifdef __cplusplus
}
#endif
#endif
H
code 'what is not explained is named, with its place' 1 "$man3" check include man
is 'as file and line' "$out" "man/hardy_status.3: not what the header says: make man
include/hardy/status.h:$(grep -n hardy_count include/status.h | cut -d: -f1): hardy_count is not explained"
code 'a page is written' 0 "$man3" write include man
page=$(cat man/hardy_status.3)
has() { like "$1" "$(tr '\n' '~' <<<"$page")" "$2"; }
has 'its first line' '\.Nd statuses and their texts~'
has 'what is laid out by hand' '\.Bd -literal -offset indent~kept as it is~\.Ed'
has 'a list' '\.Bl -bullet~\.It~one~\.It~two, which goes on~\.El'
has 'a prototype' '\.Ft "hardy_status"~\.Fo hardy_do~\.Fa "const hardy_thing \*thing"~\.Fa "void \(\*fn\)\(void \*, int\)"~\.Fc'
has 'a comment behind a member' '\.It Vt "const char" Fa \*name~for people; required~'
has 'a comment above a member' '\.It Vt "void \(\*fn\)\(void \*ctx, int what\)"~Called, one day\.~'
has 'members in one line' '\.It Vt "int" Fa a , b~a pair~'
has 'an enumerator, the next one counted' 'HARDY_FIRST No = 3~the first~\.It Dv HARDY_SECOND No = 4~the second~'
has 'the statuses' 'HARDY_E_OPEN No = \\-12~circuit breaker is open \(class '
has 'an error, and who gives it' '\.Sh ERRORS~\.Bl -tag -width Ds~\.It Dv HARDY_E_OPEN~circuit breaker is open:~\.Fn hardy_do~'
has 'a heading' '\.Ss Things~'
touch man/hardy_gone.3
code 'a page without a header is noticed' 1 "$man3" check include man
like 'and named' "$out" '^man/hardy_gone\.3: no header is behind it'
MESON_INSTALL_DESTDIR_PREFIX=$work ok 'pages are installed' "$man3" install share/man
is 'with a link for each function and type' "$(readlink share/man/man3/hardy_guard_{run,config}.3)" 'hardy_guard.3
hardy_guard.3'
