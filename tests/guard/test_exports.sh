#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_exports.sh LIBRARY LIST [MORE]: what the library exports is what the list says, no more and no less,
# all under its version, and it needs nothing but the C library and those of MORE (libuv|libsqlite3).
set -u -o pipefail
export LC_ALL=C
library=$1 list=$2 more=${3:-none}
echo 1..3

exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }')
if difference=$(diff "$list" <(sed 's/@@HARDY_0\.1$//' <<<"$exported" | sort)); then
    echo 'ok 1 - exports as listed, sorted'
else
    echo 'not ok 1 - exports as listed, sorted'
    sed 's/^/# /' <<<"$difference"
fi

if [ -n "$exported" ] && ! grep -v '@@HARDY_0\.1$' <<<"$exported" | sed 's/^/# /' | grep .; then
    echo 'ok 2 - each with its version'
else
    echo 'not ok 2 - each with its version'
fi

needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if ! grep -vE "^($more|libc|libm|libpthread|ld-linux[a-z0-9-]*)\.so\.[0-9]+\$|^lib(asan|ubsan|tsan|lsan|clang_rt.*)\.so.*\$" <<<"$needed" | sed 's/^/# /' | grep .; then
    echo 'ok 3 - needs the C library and what is named'
else
    echo 'not ok 3 - needs the C library and what is named'
fi
