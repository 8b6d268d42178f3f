#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/test_build.sh gcc|clang|asan|tsan DIR
# Makes one of the builds that tools/test.sh tests, in DIR.
set -eu
cd "$(dirname "$0")/.."
dir=${2:?usage: tools/test_build.sh gcc|clang|asan|tsan DIR}
case $1 in
    gcc | clang) CC=$1 exec tools/build.sh "$dir" ;;
    # A sanitizer's instrumentation makes the compiler warn of what is not there; the warnings that
    # count were looked at in the two builds above.
    asan) CC=gcc exec tools/build.sh "$dir" -Db_sanitize=address,undefined -Dwerror=false ;;
    # Only what is tested in it.
    tsan) CC=clang ONLY=$TSAN_ONLY exec tools/build.sh "$dir" -Db_sanitize=thread -Db_lundef=false -Dwerror=false ;;
    *) exit 2 ;;
esac
