#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A step whose shim is killed while hardy lives: its probe decides, as after a crash of hardy itself.
. "$(dirname "$0")/common.sh"

cat >flow.yaml <<'EOF'
name: lost
steps:
  - name: make
    run: "echo $$ >>running; [ -e go ] || sleep 30; echo made >>effects"
    probe: "test -e effects"
EOF

"$HARDY" run flow.yaml >out 2>err &
hardy=$!
wait_for is_there running
pids=$(shims)
: >go # the next one goes straight on
kill -9 $pids
wait "$hardy"
is 'the run goes on to its end' $? 0
like 'the probe was asked' "$(cat err)" 'not done'
is 'the step was begun again' "$(wc -l <running)" 2
is 'its effect is there once' "$(effects)" 1
like 'the run is done' "$("$HARDY" workflows list)" ' done '

# --- declared safe to repeat: the same
again
rm -f running go
cat >rerun.yaml <<'EOF'
name: rerun
steps:
  - {name: make, run: "echo $$ >>running; [ -e go ] || sleep 30; echo made >>effects", in_doubt: rerun}
EOF
"$HARDY" run rerun.yaml >out 2>err &
hardy=$!
wait_for is_there running
pids=$(shims)
: >go
kill -9 $pids
wait "$hardy"
is 'rerun: the run goes on to its end' $? 0
is 'the step was begun again' "$(wc -l <running)" 2

# --- what kills each of them will go on: it is not tried for ever
again
cat >killer.sh <<'EOF'
#!/bin/sh
echo x >>effects
kill -9 $PPID
sleep 5
EOF
chmod +x killer.sh
cat >killer.yaml <<'EOF'
name: killer
steps:
  - {name: make, run: [./killer.sh], in_doubt: rerun}
EOF
code 'a step that kills its shim each time fails' 1 "$HARDY" run killer.yaml
is 'after four attempts' "$(effects)" 4
