#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every line shown as an example in the help is run, but for those that say what they need; the manual
# page is the table's, and well-formed.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/../tap.sh"
mkdir bin
ln -s "$HARDY" bin/hardy
export PATH=$work/bin:$PATH

commands=$("$HARDY" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p')
ok 'there are commands' test "$(wc -w <<<"$commands")" -ge 4
for command in $commands; do
    code "$command --help" 0 "$HARDY" "$command" --help
    like "$command has a usage line" "$out" "^Usage: hardy $command"
    like "$command ends its summary" "$out" '^[A-Z].*[a-z]\.$'
    unlike "$command: no line is too long" "$(sed '/^Examples:/,$d; /^Usage:/d' <<<"$out")" '^.{101}'
    examples=$(sed -n '/^Examples:/,$s/^  //p' <<<"$out")
    ok "$command has examples" test -n "$examples"
    while IFS= read -r line; do
        if [[ $line == *'# needs '* ]]; then
            skip "$line" "needs ${line##*# needs }"
            continue
        fi
        mkdir -p example state
        printf 'check:\n\t@true\n' >example/Makefile
        "$HARDY" exec --name search -- true
        (cd example && timeout 20 bash -c "$line") >out 2>err </dev/null
        status=$?
        # What the line does may fail (nobody listens on port 1); that it is understood may not.
        case $status in
            0 | 1 | 69 | 75) understood=0 ;;
            *) understood=1 ;;
        esac
        tap_result $understood "runs: $line"
        [ $understood -eq 0 ] || { tap_note "exit code $status"; tap_note "$(head -n 5 err)"; }
        "$HARDY" guards reset search 2>/dev/null
        rm -rf example
    done <<<"$examples"
done

ok 'man/hardy.1 is what the table says (build/hardy __man > man/hardy.1)' \
    diff -u "$root/man/hardy.1" <("$HARDY" __man)
if command -v mandoc >/dev/null; then
    found=$(mandoc -T lint -W warning "$root/man/hardy.1")
    is 'mandoc finds nothing' "$found" ''
else
    skip 'mandoc finds nothing' 'mandoc is not here'
fi
