#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Containerfile, without a container: what it copies is enough to configure the build it runs, its packages are
# Debian's, and the second stage has every library that hardy needs.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/tap.sh"
file=$home/etc/Containerfile
# Lines that go on are one line.
joined=$(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "$file")

mkdir hardy
while read -r line; do
    paths=(${line#COPY })
    unset 'paths[-1]'
    for path in "${paths[@]}"; do
        ok "$path is there" test -e "$home/$path"
        tar -C "$home" --exclude=node_modules -c "$path" | tar -C hardy -x # where the line puts it, see below
    done
    case $line in
    *' /hardy/') ;;
    *) is "$line keeps its place" "${line##* }" "/hardy/${paths[0]}" ;;
    esac
done < <(grep '^COPY [^-]' <<<"$joined")
options=$(sed -nE 's/^RUN meson setup build ([^&]*[^& ]) *&&.*/\1/p' <<<"$joined")
ok 'it configures a build' test -n "$options"
# shellcheck disable=SC2086
code 'of what was copied' 0 env -C hardy CC=cc meson setup build $options
code 'and every file of it is there' 0 ninja -C hardy/build -n hardy

like 'it does not run as root' "$(grep '^USER' "$file" | tail -1)" '^USER [1-9][0-9]*:[1-9]'
like 'it runs hardy' "$(grep '^ENTRYPOINT' "$file")" '"/usr/bin/hardy"'
code 'with a command that there is' 0 "$HARDY" "$(sed -n 's/^CMD \["\([a-z]*\)".*/\1/p' "$file")" --help

command -v apt-cache >/dev/null || {
    skip 'packages' 'this is no Debian'
    exit 0
}
# packages N: those of the stage, the first or the second
packages() {
    grep 'apt-get install' <<<"$joined" | sed -n "$1p" | sed 's/.*--no-install-recommends//; s/&&.*//' | tr -s ' ' '\n' | grep .
}
# shellcheck disable=SC2046
known=$(apt-cache show --no-all-versions $(packages 1) $(packages 2) | sed -n 's/^Package: //p' | sort -u)
is 'Debian has each package' "$(comm -13 <(echo "$known") <(sort -u <(packages 1; packages 2)))" ''
ok 'and they were looked for' grep -qx meson <<<"$known"
for library in $(ldd "$HARDY" | awk '$3 ~ /^\// { print $3 }'); do
    package=$(dpkg -S "$(realpath "$library")" 2>/dev/null | sed 's/:.*//' | head -1)
    case $package in
    '' | libc6 | libasan* | libubsan* | libtsan* | libstdc++6 | libgcc-s1) ;; # Debian's own, or a sanitizer's
    *) ok "the second stage has $package" grep -qx "$package" <(packages 2) ;;
    esac
done
