#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_nginx.sh HTTP_TOOL: our client against Debian's nginx, plain and TLS, on loopback.
set -u -o pipefail
tool=$1
PATH=$PATH:/usr/sbin:/sbin
for need in nginx openssl; do
    command -v $need >/dev/null || {
        echo "1..0 # SKIP $need is not here"
        exit 0
    }
done
dir=$(mktemp -d) || exit 1
server=''
finish() {
    if [ -n "$server" ]; then
        kill -CONT "$server" 2>/dev/null
        kill -KILL "$server" 2>/dev/null
    fi
    wait 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
count=0

ok() { # ok WHAT PATTERN TEXT: the text holds the pattern
    count=$((count + 1))
    if grep -qE -- "$2" <<<"$3"; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        sed 's/^/# /' <<<"no $2 in: $3"
    fi
}

fetch() { timeout 20 "$tool" fetch "$@" 2>&1; }

# A CA, and certificates of it for this address and for another one.
certify() { # certify NAME SUBJECT-ALT-NAME
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$1.key" -subj "/CN=$1" \
        -out "$dir/$1.csr" 2>/dev/null &&
        openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
            -extfile <(echo "subjectAltName=$2") -out "$dir/$1.pem" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/ca.key" -subj /CN=test-ca \
    -days 2 -out "$dir/ca.pem" 2>/dev/null &&
    certify good IP:127.0.0.1,DNS:localhost && certify other DNS:other.test || {
    echo 'Bail out! openssl cannot make certificates'
    exit 1
}

mkdir "$dir/www" "$dir/tmp"
echo hello >"$dir/www/hello.html"
head -c 5000000 /dev/urandom >"$dir/www/big"
head -c 20000 "$dir/www/big" >"$dir/www/slow"

start() { # start PORT: nginx in the foreground, one process, nothing outside $dir
    cat >"$dir/nginx.conf" <<CONF
daemon off;
master_process off;
pid $dir/pid;
error_log $dir/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
    uwsgi_temp_path $dir/tmp; scgi_temp_path $dir/tmp;
    server {
        listen 127.0.0.1:$1;
        listen 127.0.0.1:$(($1 + 1)) ssl;
        ssl_certificate $dir/good.pem;
        ssl_certificate_key $dir/good.key;
        root $dir/www;
        location /chunked { alias $dir/www/hello.html; default_type text/html; ssi on; }
        location /slow { limit_rate 5000; }
        location /busy { add_header Retry-After 7 always; return 503; }
        location /once { keepalive_timeout 0; try_files /hello.html =404; }
        location /post { return 201 "got \$content_length\n"; }
    }
    server {
        listen 127.0.0.1:$(($1 + 2)) ssl;
        ssl_certificate $dir/other.pem;
        ssl_certificate_key $dir/other.key;
        location / { return 200 "secret\n"; }
    }
}
CONF
    nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" >/dev/null 2>&1 &
    server=$!
    disown "$server" # its end by force at the end is no news
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$(($1 + 2))") 2>/dev/null && kill -0 $server 2>/dev/null && return 0
        kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    server=''
    return 1
}
port=''
for ((try = 0; try < 20; try++)); do
    port=$((20000 + RANDOM % 12000)) # below those of connections
    start $port && break
    port=''
done
[ -n "$port" ] || {
    echo 'Bail out! nginx does not start'
    sed 's/^/# /' "$dir/error.log"
    exit 1
}
url=http://127.0.0.1:$port
sum=$(sha256sum <"$dir/www/big" | cut -d' ' -f1)
hello=$(sha256sum <"$dir/www/hello.html" | cut -d' ' -f1)

ok 'a file' "complete=1 status=200 bytes=6 reused=0 sent=1 answered=1 .*$hello" "$(fetch "$url/hello.html")"
three=$(fetch --repeat 3 "$url/hello.html")
ok 'three calls, one connection' '^2$' "$(grep -c 'complete=1 .* reused=1' <<<"$three")"
ok 'five megabytes' "complete=1 .* bytes=5000000 .*$sum" "$(fetch "$url/big")"
ok 'a chunked answer' "complete=1 status=200 bytes=6 .*$hello" "$(fetch "$url/chunked")"
ok 'chunked answers keep their connection' '^1$' "$(fetch --repeat 2 "$url/chunked" | grep -c 'reused=1')"
ok 'an answer that ends with its connection is not followed on it' '^0$' "$(fetch --repeat 2 "$url/once" | grep -c 'reused=1')"
ok 'HEAD' 'complete=1 status=200 bytes=0' "$(fetch --method HEAD "$url/big")"
ok 'HEAD keeps its connection' '^1$' "$(fetch --method HEAD --repeat 2 "$url/big" | grep -c 'reused=1')"
ok 'POST' 'complete=1 status=201 bytes=6' "$(fetch --method POST --body abc "$url/post")"
ok '404' 'complete=1 status=404' "$(fetch "$url/nowhere")"
ok '503 with Retry-After' 'complete=1 status=503 .* retry_after=7' "$(fetch "$url/busy")"
ok 'a slow answer that stays alive' 'complete=1 .* bytes=20000' "$(fetch --idle 3s "$url/slow")"
ok 'a slow answer and a deadline' 'complete=0 status=200 .*reason=[a-z ]*time.*deadline passed' "$(fetch --deadline 1s "$url/slow")"
ok 'nobody listens' 'complete=0 status=0 .*sent=0 answered=0 .*detail=connecting: ' "$(fetch "http://127.0.0.1:1/")"

tls=https://127.0.0.1:$((port + 1))
ok 'https' "complete=1 status=200 .*$sum" "$(fetch --ca "$dir/ca.pem" "$tls/big")"
ok 'https by name' "complete=1 status=200 .*$hello" "$(fetch --ca "$dir/ca.pem" "https://localhost:$((port + 1))/hello.html")"
ok 'https keeps its connection' '^2$' "$(fetch --ca "$dir/ca.pem" --repeat 3 "$tls/chunked" | grep -c 'reused=1')"
ok 'an unknown CA is refused' 'complete=0 status=0 .*sent=0 .*certificate of 127.0.0.1 is refused' "$(fetch "$tls/hello.html")"
ok 'another name is refused' 'complete=0 status=0 .*sent=0 .*IP address mismatch' "$(fetch --ca "$dir/ca.pem" "https://127.0.0.1:$((port + 2))/")"
ok 'http at the https port is answered as nginx does' 'complete=1 status=400' "$(fetch "http://127.0.0.1:$((port + 1))/")"
ok 'https at the http port' 'complete=0 status=0 .*sent=0 .*TLS with 127.0.0.1 failed' "$(fetch --ca "$dir/ca.pem" "https://127.0.0.1:$port/")"

# A server that hangs: the kernel still accepts, nobody answers.
kill -STOP "$server"
begun=$SECONDS
ok 'a hanging server and a first-byte limit' 'complete=0 status=0 .*sent=1 answered=0 .*waiting for an answer: first-byte limit of 1s' "$(fetch --first 1s "$url/hello.html")"
ok 'a hanging server and a deadline, in the TLS handshake' 'complete=0 status=0 .*sent=0 .*connecting: deadline passed' "$(fetch --deadline 1s --ca "$dir/ca.pem" "$tls/hello.html")"
kill -CONT "$server"
ok 'the limits held' '^yes$' "$([ $((SECONDS - begun)) -le 6 ] && echo yes)"
ok 'and afterwards it answers' 'complete=1 status=200' "$(fetch "$url/hello.html")"
echo "1..$count"
