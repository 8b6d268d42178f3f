#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each rule of tools/lint.sh is shown a small tree that breaks it and must say so, in the right line;
# a tree that breaks none must pass. A rule that finds nothing here is not a rule.
set -u -o pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
count=0
licence='/* SPDX-License-Identifier: Apache-2.0 */'

ok() { # ok WHAT: the status of the last command decides
    local status=$?
    count=$((count + 1))
    if [ $status -eq 0 ]; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        sed 's/^/# /' "$tree.out"
    fi
}

# file PATH LINE...: writes a file that is in order but for what the lines do
file() {
    local path=$tree/$1
    shift
    mkdir -p "$(dirname "$path")"
    printf '%s\n' "$@" >"$path"
}

lint() {
    bash "$home/tools/lint.sh" --root "$tree" >"$tree.out" 2>&1
    local status=$?
    rm -rf "$tree"
    mkdir "$tree"
    return $status
}

# finds WHAT PATTERN: the tree is refused, with a line that matches
finds() {
    ! lint && grep -qE "$2" "$tree.out"
    ok "$1"
}

passes() {
    lint
    ok "$1"
}

# bad_code WHAT PATH CODE PATTERN: CODE is the second line of a file that is in order otherwise
bad_code() {
    file "$2" "$licence" "$3"
    finds "$1" "^$2:2: $4"
}

# good_code WHAT PATH LINE...: the lines of a file that is in order
good_code() {
    local what=$1 path=$2
    shift 2
    file "$path" "$licence" "$@"
    passes "$what"
}

bad_code 'reading the time in a policy' src/policy/a.c 'long f(void) { return time(0); }' 'time\(\) reads the time'
bad_code 'reading the time in a static function' src/policy/a.c 'static long f(void) { return time(0); }' 'time\(\) reads the time'
bad_code 'clock_gettime in the program' src/work/a.c 'int f(void) { return clock_gettime(1, &t); }' 'clock_gettime\(\)'
bad_code 'libuv clock outside io' src/http/a.c 'long f(void) { return uv_now(loop); }' 'uv_now\(\)'
bad_code 'sleeping' src/incident/a.c 'void f(void) { sleep (1); }' 'sleep\(\) sleeps'
bad_code 'waiting for a child outside io' src/work/a.c 'void f(void) { waitpid(1, &s, 0); }' 'waitpid\(\) waits'
bad_code 'polling outside io' src/http/a.c 'void f(void) { poll(p, 1, -1); }' 'poll\(\) waits'
bad_code 'a shell' src/io/a.c 'void f(void) { system("ls"); }' 'system\(\) runs a shell'
bad_code 'popen' src/cli/a.c 'void f(void) { popen("ls", "r"); }' 'popen\(\) runs a shell'
bad_code 'the environment in the library' src/base/a.c 'void f(void) { getenv("HOME"); }' 'getenv\(\) touches the environment'
bad_code 'the environment in a room of the program' src/work/a.c 'void f(void) { secure_getenv("HOME"); }' 'secure_getenv\(\)'
bad_code 'chance outside prng.c' src/policy/a.c 'int f(void) { return rand(); }' 'rand\(\) draws chance'
bad_code 'a process outside io' src/work/a.c 'int f(void) { return fork(); }' 'fork\(\) makes a process'
bad_code 'printing in the library' src/guard/a.c 'void f(void) { printf("x"); }' 'printf\(\) does not belong in the library'
bad_code 'abort in the library' src/policy/a.c 'void f(void) { abort(); }' 'abort\(\) does not belong'
bad_code 'an atomic beside atomic.h' src/shared/a.c 'void f(void) { atomic_store(&a, 1); }' 'atomic_store\(\): every atomic'
bad_code 'a builtin atomic' src/shared/a.c 'void f(void) { __atomic_load_n(&a, 5); }' '__atomic_load_n\(\): every atomic'
bad_code 'stdatomic.h beside atomic.h' src/guard/a.c '#include <stdatomic.h>' '<stdatomic.h>: every atomic'
for name in strcpy strcat strncpy sprintf vsprintf strtok gets atoi atol fscanf; do
    bad_code "banned: $name" src/cli/a.c "void f(void) { $name(a, b); }" "$name\\(\\) is banned"
done
bad_code 'banned in tests too' tests/base/a.c 'void f(void) { strcpy(a, b); }' 'strcpy\(\) is banned'
bad_code 'a descriptor for every child' src/io/a.c 'int f(void) { return open("a", O_RDONLY); }' 'open\(\) without a CLOEXEC flag'
bad_code 'a descriptor with unknown flags' src/io/a.c 'int f(int flags) { return open("a", flags); }' 'open\(\) without a CLOEXEC flag'
bad_code 'a stream for every child' src/io/a.c 'void *f(void) { return fopen("a", "r"); }' 'fopen\(\) without a CLOEXEC flag'
bad_code 'pipe, which cannot say CLOEXEC' src/io/a.c 'int f(int *p) { return pipe(p); }' 'pipe\(\) leaves the descriptor open'
bad_code 'a closed door' src/policy/a.c '#include "io/loop.h"' '"io/loop.h": src/policy/ has no door to src/io/'
bad_code 'a door that opens one way' src/io/a.c '#include "store/store.h"' '.*src/io/ has no door to src/store/'
bad_code 'an include without its room' src/io/a.c '#include "loop.h"' '"loop.h": write the room too'
bad_code 'a room that does not exist' src/io/a.c '#include "attic/a.h"' '.*src/io/ has no door to src/attic/'
bad_code 'a public header with private ones' include/hardy/a.h '#include "base/str.h"' '.*a public header includes'
bad_code 'a dependency in the library' src/guard/a.c '#include <uv.h>' '<uv.h>: the library'
bad_code 'a dependency in a public header' include/hardy/a.h '#include <jansson.h>' '<jansson.h>: the library'
bad_code 'a tab in C' src/cli/a.c $'\tint a;' 'tab: C is indented'
bad_code 'white space at the end' src/cli/a.c 'int a; ' 'white space at the end'
if command -v clang-format >/dev/null && [[ $(clang-format --version) == *"version 14."* ]]; then
    bad_code 'layout' src/cli/a.c 'int   a ;' 'not as clang-format'
else
    count=$((count + 1))
    echo "ok $count - layout # SKIP clang-format 14 is not here"
fi
for word in TO''DO FIX''ME X''XX; do
    bad_code "owed: $word" src/cli/a.c "/* $word: later */" 'something owed'
done
file src/attic/a.c "$licence" 'int a;'
finds 'a room without a row in the table' '^src/attic/a.c:1: room src/attic/ is not in the table'
file src/cli/a.c 'int a;'
finds 'C without a licence line' '^src/cli/a.c:1: no SPDX-License-Identifier'
file tools/a.sh '#!/bin/sh' 'true'
finds 'a script without a licence line' '^tools/a.sh:1: no SPDX'
file docs/a.md 'text'
finds 'a document without a licence line' '^docs/a.md:1: no SPDX'
file tools/a.sh '#!/bin/bash' '# SPDX-License-Identifier: Apache-2.0' 'if true; then'
finds 'a script that does not parse' '^tools/a.sh: line [0-9]+: syntax error'
file tools/a '#!/usr/bin/env bash' '# SPDX-License-Identifier: Apache-2.0' 'if true; then'
finds 'a script without an extension that does not parse' '^tools/a: line [0-9]+: syntax error'
file hardy.yaml 'state: memory'
finds 'a configuration in the root' '^hardy.yaml:1: '

good_code 'a call through a member is not the C library' src/policy/a.c 'long f(struct env *e) {' '    return e->time(0) + e->io.sleep(1);' '}'
good_code 'a comment is not a call' src/policy/a.c '/* time() and sleep(1) are for src/io. */'
good_code 'a string is not a call' src/policy/a.c 'const char *f(void) {' '    return "time(0) \" getenv(";' '}'
good_code 'a static function of the same name is not the C library' src/drive/a.c \
    'static int wait(int a) {' '    return a;' '}' '' 'int f(void) {' '    return wait(1);' '}'
good_code 'a longer name is not a call' src/policy/a.c 'long f(void) {' '    return run_time(0) + sleep_until(1);' '}'
good_code 'the clock reads the time' src/base/clock.c 'int f(void) {' '    return clock_gettime(1, &t);' '}'
good_code 'io waits' src/io/a.c 'int f(void) {' '    return waitpid(1, &s, 0);' '}'
good_code 'the command line reads the environment' src/cli/a.c 'char *f(void) {' '    return getenv("HOME");' '}'
good_code 'a door' src/guard/a.c '#include "policy/breaker.h"'
good_code 'a door behind a door' src/incident/a.c '#include "store/store.h"'
good_code 'a room of its own' src/io/a.c '#include "io/loop.h"'
good_code 'main may enter everything' src/cli/a.c '#include "incident/incident.h"'
good_code 'a public header with public ones' include/hardy/a.h '#include <hardy/status.h>'
good_code 'the C library in the library' src/base/a.c '#include <sys/stat.h>'
good_code 'a flag on the next line' src/io/a.c 'int f(void) {' \
    '    return open("a file whose name is so long that the call does not fit into one line of the file",' \
    '                O_RDONLY | O_CLOEXEC);' '}'
good_code 'flags in a variable' src/io/a.c 'int f(void) {' '    int flags = O_RDONLY | O_CLOEXEC;' '    return open("a", flags);' '}'
good_code 'a stream that children do not get' src/io/a.c 'void *f(void) {' '    return fopen("a", "re");' '}'
good_code 'a comment over several lines' src/cli/a.c '/*' ' * Not a call: system("x").' ' */' 'int a;'
file tools/a.sh '#!/bin/sh' '# SPDX-License-Identifier: Apache-2.0' 'mktemp /tmp/a.XXXXXX'
passes 'the pattern of mktemp is not a debt'
rm -f "$tree.out"
echo "1..$count"
