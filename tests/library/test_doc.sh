#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_doc.sh SOURCE: the pieces of C in docs/library.md are one program that compiles, so are those of docs/retry.md,
# and its Python is Python.
set -u -o pipefail
source=$1
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
# pieces LANGUAGE NAME: what docs/NAME.md holds of it
pieces() { sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/{/^\`\`\`/d;p}" "$source/docs/$2.md"; }
# compiles NAME MAIN: "ok" or "not ok"
compiles() {
    {
        printf '#include <hardy/hardy.h>\n#include <stdio.h>\n#include <string.h>\n'
        pieces c "$1"
        printf 'int main(void) { return %s; }\n' "$2"
    } >"$work/doc.c"
    number=$((number + 1))
    if said=$(${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$source/include" "$work/doc.c" 2>&1); then
        echo "ok $number - C of docs/$1.md"
    else
        echo "not ok $number - C of docs/$1.md"
        sed 's/^/#   /' <<<"$said"
    fi
}
number=0
echo 1..3
compiles library 'find(search_guard(NULL)) + ask_once(NULL, NULL, NULL)'
compiles retry '(classify(NULL, NULL, NULL), wait_for_job(NULL, NULL, NULL))'
if pieces python library | python3 -c 'import sys; compile(sys.stdin.read(), "docs/library.md", "exec")'; then
    echo 'ok 3 - Python'
else
    echo 'not ok 3 - Python'
fi
