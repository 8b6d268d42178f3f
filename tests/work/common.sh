# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests of durable commands: a command with an effect that can be counted, and ways to be cruel.
. "$(dirname "$0")/../tap.sh"
HARDY_STATE=$work/state/hardy.db

# A charge: appends a line to `effects`, then prints its receipt. How it ends is told by the
# environment, for arguments identify what is done.
#   DELAY (seconds before the effect)  HOLD (before it: until the file `go` is there)
#   AFTER (seconds after it)  CODE (exit code)  KILL (signal to itself)
cat >charge.sh <<'EOF'
#!/bin/sh
echo $$ >running
sleep "${DELAY:-0}"
[ -z "${HOLD:-}" ] || until [ -e go ] || ! [ -e charge.sh ]; do sleep 0.01; done
echo "charged $* key=$HARDY_IDEMPOTENCY_KEY attempt=$HARDY_ATTEMPT fence=$HARDY_FENCE" >>effects
sleep "${AFTER:-0}"
[ -z "${KILL:-}" ] || kill -"$KILL" $$
[ "${CODE:-0}" -eq 0 ] || echo "refused $*"
[ "${CODE:-0}" -ne 0 ] || echo "receipt $*"
exit "${CODE:-0}"
EOF
chmod +x charge.sh

effects() { cat effects 2>/dev/null | wc -l; }
again() { rm -f effects running go; }
is_there() { [ -e "$1" ]; }
# The shims whose step is below this test's folder.
shims() { grep -lsF "$work" /proc/[0-9]*/cmdline 2>/dev/null | while read -r f; do { tr "\0" " " <"$f"; } 2>/dev/null | grep -q '^hardy __step' && echo "${f//[!0-9]/}"; done; return 0; }
# kill_hard PID...: KILL to all of them; the first is our child.
kill_hard() { { kill -9 "$@"; wait "$1"; } 2>/dev/null; }
no_shims() { [ -z "$(shims)" ]; }
# What lies in the folder of the steps, without the lock of the keys.
left_files() { ls "$HARDY_STATE-steps" 2>/dev/null | grep -v '^keys.lock$'; return 0; }
