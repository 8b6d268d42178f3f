#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What README.md tells someone who chooses settings, and someone on call: each line is run as it is written, in
# the order in which it is written. What it shows of an outage is what is printed; so is what it shows of the
# morning after, but for times and ids.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tools/free_port.sh"
. "$home/tests/tap.sh"
mkdir bin
ln -s "$HARDY" bin/hardy
export PATH=$work/bin:$PATH
unset HARDY_STATE # the example says where
cp -r "$home/examples" .
rm -rf examples/night/state
SHOP_PORT=$(free_port)
export SHOP_PORT

sed -n '/^## For someone choosing/,/^## For a C/p' "$home/README.md" >section
awk '/^```sh/ { b = 1; next } /^```/ { b = 0 } b' section | sed 's/  *# .*//' >lines
awk '/^```text/ { b = 1; next } /^```/ { b = 0 } b' section >shown
ok 'there are settings to choose' test "$(wc -l <lines)" -ge 4
while IFS= read -r line; do
    code "$line" 0 timeout 20 bash -c "$line"
done <lines
ok 'something is shown' test -s shown
is 'the outage is as README.md shows it' "$(comm -23 <(sort -u shown) <(sort -u <<<"$out"))" ''

sed -n '/^## For someone on call/,/^## For someone choosing/p' "$home/README.md" >section
awk '/^```sh/ { b = 1; next } /^```/ { b = 0 } b' section | sed 's/  *# .*//' >lines
awk '/^```text/ { b = 1; next } /^```/ { b = 0 } b' section >morning
ok 'there are lines' test "$(wc -l <lines)" -ge 9
same() { sed -E 's/inc-[0-9a-f-]+/INC/g; s/[0-9]+(\.[0-9]+)?(ms|s)/SPAN/g; s/[0-9-]{10} [0-9:]{8}/TIME/; s/ +/ /g' "$@"; }

hardy=
end() {
    [ -z "$hardy" ] || kill -KILL "$hardy" 2>/dev/null
    [ -z "${child:-}" ] || kill -KILL "$child" 2>/dev/null
    tap_end
}
trap end EXIT
pid_of() { sed -nE "s/.*(  |: )$1(:| ) *starting:? +pid ([0-9]+).*/\3/p" log | tail -n 1; }
began_again() { [ -n "$(pid_of "$1")" ] && [ "$(pid_of "$1")" != "$2" ]; }
background() { # background LINE: what lasts; it is ended with `finish`
    : >log
    bash -c "exec ${1/#AUTOMATION=ask hardy/env AUTOMATION=ask hardy}" >>log 2>&1 &
    hardy=$!
}
finish() {
    kill -TERM "$hardy"
    wait "$hardy"
    hardy='' child=''
}

while IFS= read -r line; do
    case $line in
        'hardy supervise -- '*)
            background "${line/8123/$(free_port)}"
            wait_for grep -q 'python3: ready' log
            child=$(pid_of python3)
            kill -KILL "$child"
            ok "$line: it is back" wait_for began_again python3 "$child"
            child=$(pid_of python3)
            finish
            ;;
        'hardy supervise -c '*)
            background "$line"
            wait_for grep -qE 'shop +up ' log
            wait_for grep -qE 'shop +ready' log
            child=$(pid_of shop)
            kill -STOP "$child"
            wait_for grep -qE 'shop +escalated +automation is observe; would have run restart' log
            kill -CONT "$child"
            ok "$line: the shop hangs, and is well again" wait_for grep -qE 'shop +resolved' log
            finish
            ;;
        'AUTOMATION=ask hardy supervise '*)
            background "$line"
            ok "$line" wait_for grep -qE 'shop +up ' log
            child=$(pid_of shop)
            finish
            ;;
        *)
            code "$line" 0 timeout 20 bash -c "$line"
            ;;
    esac
    case $line in
        *--since*)
            same <<<"$out" | sort -u >got
            is 'the morning after is as README.md shows it' "$(same morning | sort -u | comm -23 - got)" ''
            ;;
    esac
done <lines
