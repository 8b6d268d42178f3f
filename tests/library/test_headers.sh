#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_headers.sh INCLUDE: the public headers are C11 and C++11 and what came after, each alone and all together,
# without a warning of either compiler.
set -u -o pipefail
export LC_ALL=C
include=$1
count=0 failed=0

# check WHAT TEXT COMPILER...: the text is compiled in silence
check() {
    local what=$1 text=$2 said status
    shift 2
    count=$((count + 1))
    said=$("$@" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsyntax-only -I"$include" - <<<"$text" 2>&1)
    status=$?
    if [ $status -eq 0 ] && [ -z "$said" ]; then
        echo "ok $count - $what"
    else
        echo "not ok $count - $what"
        head -n 20 <<<"$said" | sed 's/^/#   /'
        failed=1
    fi
}

all=
for path in "$include"/hardy/*.h; do
    all+="#include <hardy/${path##*/}>"$'\n'
done

for compiler in gcc clang g++ clang++; do
    case $compiler in
    *++) language=c++ standards='c++11 c++14 c++17 c++20' ;;
    *) language=c standards='c11 c17 c2x' ;;
    esac
    if ! command -v $compiler >/dev/null; then
        count=$((count + 1))
        echo "ok $count - $compiler # SKIP it is not here"
        continue
    fi
    for path in "$include"/hardy/*.h; do
        check "$compiler, ${standards%% *}: ${path##*/} alone" "#include <hardy/${path##*/}>" \
            $compiler -x $language "-std=${standards%% *}"
    done
    for standard in $standards; do
        check "$compiler, $standard: all of them" "$all" $compiler -x $language "-std=$standard"
    done
done

# What is refused, so that the above can fail.
count=$((count + 1))
if check 'seeded' 'int narrow(long l) { return l; }' gcc -x c -std=c11 | grep -q '^not ok'; then
    echo "ok $count - a header with a narrowing conversion would be found"
else
    echo "not ok $count - a header with a narrowing conversion would be found"
    failed=1
fi
echo "1..$count"
exit $failed
