#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/test_build.sh gcc|clang|asan|tsan DIR
# Makes one of the builds that tools/test.sh tests, in DIR.
set -eu
cd "$(dirname "$0")/.."
dir=${2:?usage: tools/test_build.sh gcc|clang|asan|tsan DIR}
# Half of the time to build some hundred programs goes into optimising and linking them: here a quick
# linker where there is one, and no more optimisation and notes for a debugger than a report needs.
quick=()
if echo 'int main(void) { return 0; }' | gcc -fuse-ld=gold -x c - -o /dev/null 2>/dev/null; then
    quick=(-Dc_link_args=-fuse-ld=gold)
fi
case $1 in
    gcc) CC=gcc exec tools/build.sh "$dir" ;;
    clang) CC=clang exec tools/build.sh "$dir" -Doptimization=1 -Ddebug=false "${quick[@]}" ;;
    # A sanitizer's instrumentation makes the compiler warn of what is not there; the warnings that
    # count were looked at in the two builds above.
    asan) CC=gcc exec tools/build.sh "$dir" -Db_sanitize=address,undefined -Doptimization=1 \
        -Dc_args=-g1 -Dwerror=false "${quick[@]}" ;;
    # Only what is tested in it.
    tsan) CC=clang ONLY=$TSAN_ONLY exec tools/build.sh "$dir" -Db_sanitize=thread -Db_lundef=false \
        -Dwerror=false ;;
    *) exit 2 ;;
esac
