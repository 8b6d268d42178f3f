#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/static_library.sh OUT ARCHIVE...
# Makes the static library of the archives: one object, in which everything but the public functions is
# local. So a program may have a function `fail` of its own, as with the shared library.
set -eu
out=$1
shift
: "${LD:=ld}" "${OBJCOPY:=objcopy}" "${AR:=ar}"
trap 'rm -f "$out.o"' EXIT
$LD -r -o "$out.o" --whole-archive "$@"
$OBJCOPY --localize-hidden "$out.o"
rm -f "$out"
$AR rcs "$out" "$out.o"
