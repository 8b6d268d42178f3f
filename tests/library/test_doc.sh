#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_doc.sh SOURCE: the pieces of C in docs/library.md are one program that compiles, and its Python is Python.
set -u -o pipefail
source=$1
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
pieces() { sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/{/^\`\`\`/d;p}" "$source/docs/library.md"; }
echo 1..2

{
    printf '#include <hardy/hardy.h>\n#include <stdio.h>\n'
    pieces c
    printf 'int main(void) { return find(search_guard(NULL)) + ask_once(NULL, NULL, NULL); }\n'
} >"$work/doc.c"
if said=$(${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$source/include" "$work/doc.c" 2>&1); then
    echo 'ok 1 - C'
else
    echo 'not ok 1 - C'
    sed 's/^/#   /' <<<"$said"
fi
if pieces python | python3 -c 'import sys; compile(sys.stdin.read(), "docs/library.md", "exec")'; then
    echo 'ok 2 - Python'
else
    echo 'not ok 2 - Python'
fi
