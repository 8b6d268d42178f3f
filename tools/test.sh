#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/test.sh [long]
# Runs all there is to prove: the linter, then the tests in four builds. Says of each failure its name
# and the end of its output, of each skip why; the last line is "N passed, N failed" (", N skipped").
# A test that runs in two builds counts twice; the linter and each build count as one test.
set -u -o pipefail
# Who started us may ignore signals (a background job, nohup); tests of Ctrl-C would see that.
if [ -z "${HARDY_TEST_SIGNALS:-}" ]; then
    HARDY_TEST_SIGNALS=default exec env --default-signal=HUP,INT,QUIT,PIPE,TERM bash "$0" "$@"
fi
cd "$(dirname "$0")/.." || exit 2
export PATH=$PATH:/usr/sbin:/sbin
# A sanitizer's finding ends the test, with the place where it was found.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:halt_on_error=1:abort_on_error=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
exec </dev/null

passed=0 failed=0 skipped=0
out=$(mktemp -d) || exit 2
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title() { printf '\n== %s (%d min %02d s)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

# step NAME COMMAND...: one thing that either works or does not
step() {
    local name=$1
    shift
    "$@" >"$out/step" 2>&1
    stepped "$name" $? "$out/step"
}

# stepped NAME STATUS OUTPUT: it ended
stepped() {
    if [ "$2" = 0 ]; then
        tail -n 1 "$3"
        passed=$((passed + 1))
        return 0
    fi
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$1"
    # of a build: from the first command that failed; else the end
    { sed -n '/^FAILED: /,$p' "$3" | head -n 60 | grep . || tail -n 60 "$3"; } | sed 's/^/    /'
    return 1
}

# build_ahead NAME...: these builds are made in turn while tests run, for many tests wait more than they compute.
# The builds get what the tests leave of the processors; that needs a session of their own as well, for
# Linux may share the processors among sessions first.
builder=
build_ahead() {
    # shellcheck disable=SC2016 # expanded by the shell within
    exec 3< <(exec setsid bash -c '{ echo 5 >/proc/self/autogroup; } 2>/dev/null
        for name in "${@:2}"; do
            nice -n 5 tools/test_build.sh "$name" "build-$name" >"$1/$name" 2>&1
            echo $?
        done' - "$out" "$@")
    builder=$!
}

# built NAME TEXT: waits for the next of them
built() {
    local status
    read -r status <&3 || status=1
    stepped "$2" "$status" "$out/$1"
}

# shellcheck disable=SC2317 # called when it ends
end() {
    [ -z "$builder" ] || kill -TERM -- "-$builder" 2>/dev/null
    rm -rf "$out"
}

# tests LABEL DIR MESON-TEST-OPTION...: runs tests of a build and adds them up
tests() {
    local label=$1 dir=$2 status p f s
    shift 2
    rm -f "$dir/meson-logs/testlog.json"
    meson test -C "$dir" --no-rebuild "$@" 2>&1 | tee "$out/meson" | grep --line-buffered -E '^ *[0-9]+/[0-9]+ '
    status=${PIPESTATUS[0]}
    if [ ! -s "$dir/meson-logs/testlog.json" ]; then
        if [ $status -eq 0 ]; then
            echo "$label: no tests of this kind"
            return
        fi
        failed=$((failed + 1))
        printf 'FAILED: %s: meson test could not run\n' "$label"
        tail -n 20 "$out/meson" | sed 's/^/    /'
        return
    fi
    if python3 tools/tests.py count "$label" "$dir/meson-logs/testlog.json" >"$out/count"; then
        read -r p f s < <(tail -n 1 "$out/count")
        sed '$d' "$out/count"
    else
        p=0 f=1 s=0
        printf 'FAILED: %s: the log of meson test cannot be read\n' "$label"
    fi
    echo "$label: $p passed, $f failed, $s skipped"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# With many bits of address randomisation (some newer kernels) a sanitizer's shadow memory may find its
# place taken; then its programs run without randomisation.
wrapper=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch -R true 2>/dev/null; then
    wrapper=(--wrapper 'setarch -R')
fi

# The build that `make` leaves is tested itself, unless it was configured with another compiler.
gcc_dir=build
if [ -f build/meson-info/intro-compilers.json ] && ! grep -q '"id": "gcc"' build/meson-info/intro-compilers.json; then
    gcc_dir=build-gcc
fi

# Some tests wait for time to pass, so there are more of them at once than processors. What cannot bear that
# is declared `is_parallel: false`; what takes long has a `priority`, about its seconds, and begins early.
waiting=(--num-processes $(($(nproc) * 2 + 1)))
export TSAN_ONLY='policy guard store tsan -no-tsan -crash -long'

if [ "${1:-}" = long ]; then
    title 'gcc, long tests'
    step 'build with gcc' tools/test_build.sh gcc $gcc_dir &&
        tests gcc $gcc_dir --suite long
else
    title 'lint'
    step 'lint' tools/lint.sh

    title 'gcc, all tests'
    step 'build with gcc' tools/test_build.sh gcc $gcc_dir
    gcc_status=$?
    build_ahead asan clang tsan
    [ $gcc_status -ne 0 ] ||
        tests gcc $gcc_dir --no-suite long --timeout-multiplier 2 "${waiting[@]}"

    title 'AddressSanitizer and UndefinedBehaviorSanitizer'
    built asan 'build with ASan and UBSan' &&
        tests asan+ubsan build-asan --no-suite long --no-suite lint --no-suite no-asan \
            --timeout-multiplier 4 "${waiting[@]}" "${wrapper[@]}"

    title 'clang, unit tests'
    built clang 'build with clang' &&
        tests clang build-clang --suite unit --no-suite long --no-suite no-asan --timeout-multiplier 2

    title 'ThreadSanitizer: policy, guard, store, and what is tagged tsan'
    if built tsan 'build with TSan'; then
        read -ra words <<<"$TSAN_ONLY"
        mapfile -t names < <(python3 tools/tests.py select build-tsan "${words[@]}" | sed -n 's/^test //p')
        tests tsan build-tsan --timeout-multiplier 6 "${wrapper[@]}" "${names[@]}"
    fi
fi

title 'done'
line="$passed passed, $failed failed"
[ $skipped -gt 0 ] && line="$line, $skipped skipped"
echo "$line"
[ $failed -eq 0 ]
