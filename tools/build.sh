#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/build.sh DIR [MESON OPTION...]
# Configures DIR once (CC says with which compiler) and builds everything in it. Without -Dtests=false
# the tests are among it, also where they were not before; with ONLY=WORDS only the tests that
# `tools/tests.py select` finds for these words are built.
set -eu -o pipefail
cd "$(dirname "$0")/.."

dir=${1:?usage: tools/build.sh DIR [MESON OPTION...]}
shift
if [ ! -f "$dir/build.ninja" ]; then
    rm -rf "$dir" # what a configuration that failed half-way left is not reconfigured, it is begun again
    meson setup "$dir" "$@"
elif [[ " $* " != *" -Dtests=false "* && ! -d $dir/tests ]]; then
    meson configure "$dir" -Dtests=true # made by `make`, which needs no tests
fi
if [ -n "${ONLY:-}" ]; then
    ninja -C "$dir" build.ninja # what is selected is read from an up-to-date configuration
    read -ra words <<<"$ONLY"
    mapfile -t targets < <(python3 tools/tests.py select "$dir" "${words[@]}" | sed -n 's/^target //p')
    [ ${#targets[@]} -eq 0 ] || ninja -C "$dir" "${targets[@]}"
else
    ninja -C "$dir"
fi
