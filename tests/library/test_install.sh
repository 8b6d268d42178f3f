#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_install.sh BUILD SOURCE: what `meson install` puts into a prefix is enough to build programs and run them,
# with the one line the documentation gives.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
build=$1 source=$2

code 'meson install' 0 meson install --no-rebuild -C "$build" --destdir "$work/dest"
mapfile -t found < <(find "$work/dest" -name hardy.pc)
is 'one hardy.pc' "${#found[@]}" 1
lib=$(dirname "$(dirname "${found[0]}")")
prefix=$work/dest$(sed -n 's/^prefix=//p' "${found[0]}")
export PKG_CONFIG_SYSROOT_DIR=$work/dest PKG_CONFIG_PATH=$lib/pkgconfig
: "${CC:=cc}"

is 'every public header is installed' "$(ls "$prefix/include/hardy")" "$(ls "$source/include/hardy")"
for page in "$source"/man/*; do
    section=${page##*.}
    ok "man page ${page##*/}" cmp "$page" "$prefix/share/man/man$section/${page##*/}"
done
ok 'a function and a type are found by man' grep -q 'Nm hardy_breaker_acquire' \
    "$prefix"/share/man/man3/hardy_breaker_{acquire,config}.3

mkdir outside && cd outside || exit 99
cp "$source"/examples/{minimal,gather,pool,checkpoint}.c .

for name in minimal gather pool; do
    # shellcheck disable=SC2046 # several words, as a user types it
    code "cc $name.c \$(pkg-config --cflags --libs hardy)" 0 $CC -Wall -Wextra -Wpedantic -Werror $name.c \
        $(pkg-config --cflags --libs hardy) -o $name
done
export LD_LIBRARY_PATH=$lib
code 'it runs' 0 timeout 10 ./minimal
is 'and has its answer' "$out" 'the answer is 42'
libraries() { ldd "$1" | sed -E 's/^[[:space:]]*([^[:space:]]*\/)?([^[:space:]]+).*/\2/' | grep -vE '^(linux-vdso|ld-linux).*' | sort | tr '\n' ' '; }
like 'it needs the C library only' "$(libraries ./minimal)" '^libc\.so\.6 libhardy\.so\.0 (libm\.so\.6 )?$'
is 'hardy.pc requires nothing' "$(pkg-config --print-requires hardy; pkg-config --print-requires-private hardy)" ''
is 'its version is the library'"'"'s' "$(pkg-config --modversion hardy)" "$("$HARDY" --version | awk 'NR == 1 { print $2 }')"

# shellcheck disable=SC2046
code 'cc checkpoint.c $(pkg-config --cflags --libs hardy-durable)' 0 $CC -Wall -Wextra -Wpedantic -Werror \
    checkpoint.c $(pkg-config --cflags --libs hardy-durable) -o checkpoint
seq 25 >numbers
code 'it runs' 0 timeout 20 ./checkpoint state.db numbers report
is 'and has its sum' "$out" '{"numbers":25,"sum":325}'
like 'it needs SQLite and jansson besides' "$(libraries ./checkpoint)" 'libjansson.* libsqlite3'

# shellcheck disable=SC2046
code 'cc -static minimal.c $(pkg-config --static --cflags --libs hardy)' 0 $CC -static minimal.c \
    $(pkg-config --static --cflags --libs hardy) -o static
code 'the static one runs' 0 env -u LD_LIBRARY_PATH timeout 10 ./static
is 'and has its answer' "$out" 'the answer is 42'
is 'the static library defines what the shared one exports' \
    "$(nm --defined-only --extern-only "$lib/libhardy.a" | awk 'NF == 3 { print $3 }' | sort)" \
    "$(cat "$source/src/guard/exports.txt")"
