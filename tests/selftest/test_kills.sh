#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_kills.sh KILLS SEED runs|keys [BUG]
# `hardy selftest --crash` finds nothing wrong with hardy; in a hardy with a mistake (BUG) it finds it.
. "$(dirname "$0")/../tap.sh"
kills=$1 seed=$2 only=$3 bug=${4:-}
said() { python3 -c 'import json, sys; print(json.load(open("report"))[sys.argv[1]])' "$1"; }

[ -z "$bug" ] || export HARDY_SEEDED_BUG=$bug
"$HARDY" selftest --crash --kills "$kills" --seed "$seed" --only "$only" --dir "$work" --json >report 2>notes
status=$?
sed 's/^/# /' report notes
if [ -n "$bug" ]; then
    is 'the seeded mistake is found' "$status $(said kept)" '1 False'
    ok 'what it did is left to be looked at' test -s hardy-selftest.*/state.db
    exit 0
fi
is 'nothing is found' "$status $(said kept)" '0 True'
is 'killed as often as was asked for' "$(said kills)" "$kills"
# A command that is alive is what makes a kill dangerous. Of a few kills chance decides.
least=$((kills >= 100 ? 40 : 20))
ok "at least $least % of the kills while a command was alive" \
    test $(($(said kills_while_a_command_was_alive) * 100)) -ge $((kills * least))
is 'no acknowledged step was lost' "$(said acknowledged_steps_lost)" 0
is 'no effect was repeated silently' "$(said repeated_silently)" 0
is 'nothing is done without its effect' "$(said done_without_effect)" 0
is 'all that was in doubt was shown' "$(said in_doubt_not_shown)" 0
is 'nobody was asked what a probe could tell' "$(said questions_where_a_probe_is_declared)" 0
ok 'something was done' test "$(said effects)" -ge 5
not_ok 'the folder is gone' test -e hardy-selftest.*
