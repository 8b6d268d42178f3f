#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/lint.sh [--root DIR]
# The rules a compiler does not know. Prints file:line: what is wrong, and what would be right; exit 1
# if there is anything. The room table is the one in docs/ARCHITECTURE.md, so the document cannot drift
# from the code. tests/lint proves that each rule finds what it forbids.
set -u -o pipefail
export LC_ALL=C

home=$(cd "$(dirname "$0")/.." && pwd) || exit 2
root=$home
if [ "${1:-}" = --root ] && [ -d "${2:-}" ]; then
    root=$(cd "$2" && pwd)
elif [ $# -gt 0 ]; then
    echo "usage: tools/lint.sh [--root DIR]" >&2
    exit 2
fi

# What is judged: everything but what a build leaves behind and what git keeps for itself.
mapfile -d '' files < <(cd "$root" && find . \
    \( -name .git -o -name 'build*' -o -name node_modules -o -name .cache \) -type d -prune -o \
    -type f -print0 | sed -z 's|^\./||' | sort -z)

matching() { # the files whose path matches an extended regular expression, NUL between them
    local file
    for file in "${files[@]}"; do
        [[ $file =~ $1 ]] && printf '%s\0' "$file"
    done
    return 0
}

in_root() { (cd "$root" && xargs -0 -r "$@"); }

text='\.(c|h|sh|bash|py|awk|build|md|yaml|yml|toml|css|html|js|mjs|map|json|txt|service|[1-8])$|(^|/)(Makefile|meson_options\.txt|\.gitignore|\.editorconfig|\.clang-format)$|^\.ci/'
c_files='\.(c|h)$'
# Kinds of file that can carry a comment. Not in the list: JSON, the licence itself, recorded output,
# and test data outside tests' own code.
licensed='\.(c|h|sh|bash|py|awk|build|md|toml|css|html|js|mjs|map|service|[1-8])$|(^|/)(Makefile|meson_options\.txt|\.gitignore|\.editorconfig|\.clang-format)$|^\.ci/|^(examples|etc|docs)/.*\.ya?ml$'

rule_calls_and_doors() {
    matching "$c_files" | in_root awk -v table="$home/docs/ARCHITECTURE.md" -v root=./ -f "$home/tools/lint.awk"
}

rule_licence() {
    matching "$licensed" | in_root awk '
        FNR == 1 { if (file != "" && !found) print file ":1: no SPDX-License-Identifier line among the first three"
                   file = FILENAME; found = 0 }
        FNR <= 3 && /SPDX-License-Identifier: Apache-2\.0/ { found = 1 }
        END { if (file != "" && !found) print file ":1: no SPDX-License-Identifier line among the first three" }'
}

rule_white_space() {
    matching "$text" | in_root grep -HnE '[[:space:]]+$' | sed -E 's/^([^:]+:[0-9]+):.*/\1: white space at the end of the line/'
}

rule_nothing_owed() {
    matching "$text" | in_root grep -HnwE 'TO''DO|FIX''ME|X''XX' | sed -E 's/^([^:]+:[0-9]+):(.*)/\1: something owed: finish it or delete it:\2/'
}

rule_shell() {
    local file
    while IFS= read -r -d '' file; do
        [[ $file == *.sh || $(head -n 1 "$root/$file") =~ ^'#!'.*(bash|/sh)$ ]] || continue
        bash -n "$root/$file" 2>&1 | sed "s|^$root/||"
    done < <(matching '\.sh$|^(tools|tests|\.ci|examples)/[^.]*$|^\.ci/')
}

rule_no_own_configuration() {
    matching '^hardy\.yaml$' | in_root printf '%s:1: a hardy.yaml here would be found and used by every hardy started in this folder\n'
}

rule_format() {
    local tool
    for tool in clang-format-14 clang-format; do
        command -v $tool >/dev/null || continue
        if [[ $($tool --version) != *"version 14."* ]]; then
            continue
        fi
        matching "$c_files" | in_root $tool --dry-run -Werror --style="file:$home/.clang-format" 2>&1 |
            awk -F: '/: error: / && !seen[$1]++ { print $1 ":" $2 ": not as clang-format 14 writes it: make format" }'
        return
    done
    echo "lint: clang-format 14 is not here, the layout of the C files was not looked at" >&2
}

found=$({
    rule_calls_and_doors
    rule_licence
    rule_white_space
    rule_nothing_owed
    rule_shell
    rule_no_own_configuration
    rule_format
} | sort -t: -k1,1 -k2,2n | uniq)
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    printf 'lint: %d problems\n' "$(wc -l <<<"$found")" >&2
    exit 1
fi
echo "lint: ${#files[@]} files, nothing found"
