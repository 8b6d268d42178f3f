#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_curl.sh HTTP_TOOL WEBHOOK_RECEIVER: curl as the client of our server, and of the receiver.
set -u -o pipefail
tool=$1 receiver=$2
command -v curl >/dev/null || {
    echo '1..0 # SKIP curl is not here'
    exit 0
}
dir=$(mktemp -d) || exit 1
server='' other=''
finish() {
    [ -n "$server" ] && kill "$server" 2>/dev/null
    [ -n "$other" ] && kill "$other" 2>/dev/null
    wait
    rm -rf "$dir"
}
trap finish EXIT
count=0

is() { # is WHAT GOT WANTED
    count=$((count + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        printf '# got:    %s\n# wanted: %s\n' "$2" "$3"
    fi
}

# first_line FILE: waits for it, five seconds at most
first_line() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        [ -s "$1" ] && { head -n 1 "$1" && return; }
        sleep 0.05
    done
    return 1
}

ask() { curl -sS --max-time 10 "$@"; }
code() { ask -o /dev/null -w '%{http_code}' "$@"; }

"$tool" serve >"$dir/port" &
server=$!
port=$(first_line "$dir/port") || {
    echo '1..1'
    echo 'not ok 1 - the server starts'
    exit 1
}
url=http://127.0.0.1:$port

is 'GET' "$(ask "$url/hello")" hello
is 'localhost by name' "$(ask "http://localhost:$port/hello")" hello
is 'HEAD has the length and no body' "$(ask -I "$url/hello" | tr -d '\r' | grep -i '^content-length')" 'content-length: 6'
is 'HTTP/1.0' "$(ask --http1.0 "$url/hello")" hello
is 'a chunked answer' "$(ask "$url/stream" | wc -c)" 1000000
is 'a chunked answer to HTTP/1.0' "$(ask --http1.0 "$url/stream" | wc -c)" 1000000
is 'POST' "$(ask -d abc "$url/echo")" abc
is 'a chunked request' "$(printf abcdef | ask -H 'Transfer-Encoding: chunked' --data-binary @- "$url/echo")" abcdef
is 'two requests, one connection' "$(ask -v "$url/hello" "$url/hello" 2>&1 | grep -c 'Re-using existing')" 1
is 'expecting 100 Continue' "$(ask -v -H 'Expect: 100-continue' -d abc "$url/echo" 2>&1 | grep -c '100 Continue')" 1
head -c 3000000 /dev/urandom >"$dir/big"
is 'three megabytes both ways at once' "$(ask --data-binary "@$dir/big" "$url/duplex" | sha256sum)" "$(sha256sum <"$dir/big")"
is '404' "$(code "$url/nowhere")" 404
is '405' "$(code -X DELETE "$url/hello")" 405
is '413 for an announced body' "$(code --data-binary "@$dir/big" "$url/echo")" 413
head -c 2000 "$dir/big" >"$dir/medium"
is '413 for a chunked body' "$(code -H 'Transfer-Encoding: chunked' --data-binary "@$dir/medium" "$url/echo")" 413
is '421 for another Host' "$(code -H 'Host: evil.example' "$url/hello")" 421
is '403 for a page elsewhere' "$(code -H 'Origin: http://evil.example' "$url/hello")" 403
is '431 for a large head' "$(code -H "X: $(head -c 20000 /dev/zero | tr '\0' x)" "$url/hello")" 431
is 'the end is asked for, and comes' "$(ask -d '' "$url/quit")" bye
wait "$server"
is 'the server has drained and left with 0' $? 0
server=''

"$receiver" --listen 127.0.0.1:0 --out "$dir/pages" --fail 2 >"$dir/address" 2>"$dir/complaints" &
other=$!
url=$(first_line "$dir/address")
post() { code -H 'Content-Type: application/json' -d "$1" "$url$2"; }
is 'the receiver fails as often as asked' "$(post '{"a":1}' x) $(post '{"a":1}' x)" '500 500'
is 'then takes JSON' "$(post '{"a":1}' x) $(post $'{"b":\n[2,\n3]}\n' y/z)" '200 200'
is 'and nothing else' "$(post 'not json' x) $(code "$url")" '400 405'
is 'one line a page' "$(cat "$dir/pages")" $'{"a":1}\n{"b": [2, 3]} '
kill -TERM "$other"
wait "$other"
is 'it ends when told' $? 0
other=''
"$receiver" --out "$dir/pages" --listen nonsense:x 2>/dev/null
is 'a wrong address is a usage error' $? 2
"$receiver" 2>/dev/null
is 'so is no file' $? 2
echo "1..$count"
