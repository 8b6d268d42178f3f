#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/build.sh DIR [MESON OPTION...]
# Configures DIR once (CC says with which compiler) and builds everything in it.
set -eu -o pipefail
cd "$(dirname "$0")/.."

dir=${1:?usage: tools/build.sh DIR [MESON OPTION...]}
shift
if [ ! -f "$dir/build.ninja" ]; then
    rm -rf "$dir" # what a configuration that failed half-way left is not reconfigured, it is begun again
    meson setup "$dir" "$@"
fi
ninja -C "$dir"
