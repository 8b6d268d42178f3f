#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prometheus's own checker reads the metrics we write, and has nothing to say. HARDY is the program that
# writes a page of them.
. "$(dirname "$0")/../tap.sh"
command -v promtool >/dev/null || {
    skip 'metrics as Prometheus reads them' 'promtool is not here'
    exit 0
}

check() { timeout 20 promtool check metrics <"$1"; }

ok 'a page is written' sh -c '"$HARDY" >page'
code 'promtool reads it' 0 check page
is 'and finds nothing' "$out$err" ''

# That it does look: what it says when an escape, a type or a bucket is wrong.
sed 's/\\"/"/' page >unescaped
not_ok 'promtool finds a quote that is not escaped' check unescaped 2>/dev/null
sed 's/\xef\xbf\xbd/\xff/' page >bytes
not_ok 'and a byte that is no UTF-8' check bytes 2>/dev/null
sed '/^# HELP hardy_wait/d' page >helpless
code 'and that a family says nothing' 3 check helpless
like 'by its name' "$err" 'hardy_wait_seconds'
sed 's/^\(hardy_temp.*\) +Inf$/\1 infinite/' page >figure
not_ok 'and what is no figure' check figure 2>/dev/null
