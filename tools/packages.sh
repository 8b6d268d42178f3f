#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/packages.sh SET...    (sets: build, run, test, bench, format)
# Finds what is missing for these sets and installs it with apt. Every need is a probe (a command, a
# file, a library, a program that links) and the Debian package that brings it, so what is there
# already, from wherever it came, is left alone.
#
#   on a terminal     prints what is missing and asks; YES=1 skips the question
#   off a terminal    installs without asking
#   no root, no sudo  prints the line to run as root, exit 1
set -u -o pipefail
PATH=$PATH:/usr/sbin:/sbin

# set    probe (alternatives after |)                                     package
needs='
build   command:cc                                                        gcc
build   file:/usr/include/stdio.h                                         libc6-dev
build   command:make                                                      make
build   command:meson                                                     meson
build   command:ninja                                                     ninja-build
build   command:pkg-config                                                pkgconf
build   library:libuv                                                     libuv1-dev
build   library:yaml-0.1                                                  libyaml-dev
build   library:jansson                                                   libjansson-dev
build   library:sqlite3                                                   libsqlite3-dev
build   library:libssl                                                    libssl-dev
build   library:libllhttp|file:/usr/share/include/llhttp/llhttp.h         node-llhttp
run     command:nginx                                                     nginx
run     command:curl                                                      curl
run     command:python3                                                   python3
run     command:ps                                                        procps
run     file:/etc/ssl/certs/ca-certificates.crt                           ca-certificates
test    command:gcc                                                       gcc
test    command:clang                                                     clang
test    links:clang:-fsanitize=thread                                     CLANG_RUNTIME
test    command:clang-format                                              clang-format
format  command:clang-format                                              clang-format
test    command:g++                                                       g++
test    library:libcurl                                                   libcurl4-openssl-dev
test    library:cmocka                                                    libcmocka-dev
test    command:mandoc                                                    mandoc
test    command:spin                                                      spin
test    command:strace                                                    strace
test    command:openssl                                                   openssl
test    command:sqlite3                                                   sqlite3
test    command:openssl                                                   openssl
test    command:node                                                      nodejs
test    command:npm                                                       npm
test    command:python3                                                   python3
bench   command:nginx                                                     nginx
bench   command:go                                                        golang-go
bench   file:/usr/share/gocode/src/golang.org/x/time/rate/rate.go         golang-golang-x-time-dev
bench   file:/usr/lib/python3/dist-packages/tenacity/__init__.py          python3-tenacity
bench   command:node                                                      nodejs
bench   command:npm                                                       npm
bench   command:haproxy                                                   haproxy
bench   command:wrk                                                       wrk
bench   command:runsv                                                     runit
bench   command:s6-supervise                                              s6
bench   command:supervisord                                               supervisor
bench   command:monit                                                     monit
test    command:promtool                                                  prometheus
test    file:/usr/lib/python3/dist-packages/yaml/__init__.py              python3-yaml
test    command:systemd-analyze                                           systemd
test    command:prometheus-alertmanager                                   prometheus-alertmanager
test    command:prometheus-blackbox-exporter                              prometheus-blackbox-exporter
test    command:redis-server                                              redis-server
test    command:redis-cli                                                 redis-tools
test    command:initdb|command:pg_createcluster                           postgresql
'
# Packages that bring a service; the program is wanted, not a server that starts with the machine.
services=(nginx haproxy prometheus prometheus-alertmanager prometheus-blackbox-exporter redis-server postgresql supervisor monit)

policy=/usr/sbin/policy-rc.d
policy_saved=$policy.before-hardy
policy_mark='# put here by hardy (tools/packages.sh) while apt runs'

say() { printf '%s\n' "$*" >&2; }

have_library() {
    local dir
    if command -v pkg-config >/dev/null; then
        pkg-config --exists "$1"
        return
    fi
    for dir in /usr/lib/*/pkgconfig /usr/lib/pkgconfig /usr/share/pkgconfig /usr/local/lib/pkgconfig; do
        [ -e "$dir/$1.pc" ] && return 0
    done
    return 1
}

# Does `int main(void)` link with this compiler and flag? The way to ask for a sanitizer's runtime.
have_runtime() {
    local out ok
    command -v "$1" >/dev/null || return 1
    out=$(mktemp) || return 1
    printf 'int main(void) { return 0; }\n' | "$1" "$2" -x c - -o "$out" >/dev/null 2>&1
    ok=$?
    rm -f "$out"
    return $ok
}

probe() {
    local one kind what
    local -a ways
    IFS='|' read -ra ways <<<"$1"
    for one in "${ways[@]}"; do
        kind=${one%%:*} what=${one#*:}
        case $kind in
        command) command -v "$what" >/dev/null && return 0 ;;
        file) [ -e "$what" ] && return 0 ;;
        library) have_library "$what" && return 0 ;;
        links) have_runtime "${what%%:*}" "${what#*:}" && return 0 ;;
        esac
    done
    return 1
}

# The sanitizer runtime has the version of the clang that is there, or of the one apt would bring.
clang_runtime() {
    local major
    major=$(clang -dumpversion 2>/dev/null | sed 's/\..*//')
    if [ -n "$major" ]; then
        echo "libclang-rt-$major-dev"
    else
        echo libclang-rt-dev
    fi
}

# The packages that the sets in "$@" lack, one a line.
missing() {
    local set how package wanted=" $* "
    while read -r set how package; do
        [[ -n $set && $wanted == *" $set "* ]] || continue
        probe "$how" && continue
        [ "$package" = CLANG_RUNTIME ] && package=$(clang_runtime)
        echo "$package"
    done <<<"$needs" | sort -u
}

restore_policy() {
    if [ -f "$policy" ] && grep -qF "$policy_mark" "$policy"; then
        rm -f "$policy"
    fi
    if [ -e "$policy_saved" ] || [ -L "$policy_saved" ]; then
        mv -T "$policy_saved" "$policy"
    fi
}

# Forbids service starts until restore_policy. A policy that forbids them already stays in place.
forbid_starts() {
    restore_policy # what a run that was killed left behind
    trap restore_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    if [ -x "$policy" ]; then
        "$policy" nginx start >/dev/null 2>&1 </dev/null
        [ $? -eq 101 ] && return 0
    fi
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        mv -T "$policy" "$policy_saved" || return 1
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy" && chmod 755 "$policy"
}

apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y -o Dpkg::Use-Pty=0 \
        -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@" </dev/null >&2 9>&-
}

has_candidate() {
    local known
    known=$(apt-cache policy "$1" 2>/dev/null)
    [[ $known == *Candidate:* && $known != *"Candidate: (none)"* ]]
}

# The part that needs root.
install_as_root() {
    local package service updated='' lists_old=''
    local -a had=()
    # Two at once would each take the other's policy for what was there before.
    exec 9>/run/lock/hardy-packages && flock -w 900 9 || {
        say "hardy: another installation holds /run/lock/hardy-packages since 15 minutes; nothing was installed"
        return 1
    }
    for service in "${services[@]}"; do
        [ -e "/etc/init.d/$service" ] && had+=("$service")
    done
    for package in "$@"; do
        has_candidate "$package" || lists_old=yes
    done
    if [ -n "$lists_old" ]; then
        apt update || say "hardy: apt-get update failed; trying to install with the lists that are here"
        updated=yes
    fi
    forbid_starts || {
        say "hardy: cannot write $policy, which keeps new services from starting; nothing was installed"
        return 1
    }
    if ! apt install --no-install-recommends "$@"; then
        [ -n "$updated" ] && return 1
        apt update && apt install --no-install-recommends "$@" || return 1
    fi
    for service in "${services[@]}"; do
        if [ -e "/etc/init.d/$service" ] && [[ " ${had[*]-} " != *" $service "* ]]; then
            update-rc.d "$service" disable >/dev/null 2>&1
            say "hardy: $service was installed as a program only: it was not started and will not start with the machine"
        fi
    done
}

main() {
    local set answer root
    local -a lacks=()
    [ $# -gt 0 ] || {
        say "usage: tools/packages.sh SET...    (sets: build, run, test, bench, format)"
        exit 2
    }
    if [ "$1" = --as-root ]; then
        shift
        install_as_root "$@"
        exit $?
    fi
    for set in "$@"; do
        grep -q "^$set " <<<"$needs" || {
            say "tools/packages.sh: no set is called '$set'; there are: build, run, test, bench, format"
            exit 2
        }
    done

    mapfile -t lacks < <(missing "$@")
    [ ${#lacks[@]} -eq 0 ] && exit 0
    say "hardy: missing for '$*': ${lacks[*]}"
    command -v apt-get >/dev/null || {
        say "hardy: there is no apt-get here; these are Debian's names of what is missing: install your system's packages for them"
        exit 1
    }

    if [ "$(id -u)" -eq 0 ]; then
        root=
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        root='sudo -n'
    elif command -v sudo >/dev/null && [ -t 0 ] && [ -t 2 ]; then
        root=sudo
    else
        say "hardy: neither root nor sudo without a password; run this as root, then the same command again:"
        say "    apt-get update && apt-get install -y --no-install-recommends ${lacks[*]}"
        for set in "${services[@]}"; do
            [[ " ${lacks[*]} " == *" $set "* ]] &&
                say "    (Debian starts $set when it is installed; 'systemctl disable --now $set' stops it: only the program is needed)"
        done
        exit 1
    fi
    if [ -t 0 ] && [ -t 2 ] && [ "${YES:-}" != 1 ]; then
        read -r -p "Install them with apt-get? [Y/n] " answer || answer=n
        case $answer in
        '' | y | Y | yes | Yes) ;;
        *)
            say "hardy: nothing was installed"
            exit 1
            ;;
        esac
    fi
    # shellcheck disable=SC2086 # $root is a command with its option, or nothing
    $root bash "$0" --as-root "${lacks[@]}" || {
        say "hardy: apt-get could not install: ${lacks[*]}"
        exit 1
    }

    hash -r
    mapfile -t lacks < <(missing "$@")
    [ ${#lacks[@]} -eq 0 ] || {
        say "hardy: installed, but still not found: ${lacks[*]}"
        exit 1
    }
}

main "$@"
