#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command line itself: commands, options, mistakes and what they are told.
. "$(dirname "$0")/../tap.sh"

code 'help goes to standard output' 0 "$HARDY" --help
like 'help lists the commands' "$out" '^  exec  '
unlike 'hidden commands are not listed' "$out" '__'
is 'nothing on standard error' "$err" ''
code 'no command is a mistake' 2 "$HARDY"
is 'nothing on standard output then' "$out" ''
like 'help on standard error then' "$err" '^Usage: hardy COMMAND'
code 'version' 0 "$HARDY" --version
like 'version says name and number' "$out" '^hardy [0-9]+\.[0-9]+\.[0-9]+$'
code 'version of a command' 0 "$HARDY" exec --version
code '-V' 0 "$HARDY" -V

code 'unknown command' 2 "$HARDY" exce
like 'the nearest is named' "$err" 'unknown command "exce", did you mean "exec"\?'
code 'far from every command' 2 "$HARDY" xyzzy
unlike 'then nothing is named' "$err" 'did you mean'
code 'unknown option before the command' 2 "$HARDY" --confg x exec
like 'the nearest option is named' "$err" 'unknown option --confg, did you mean --config\?'
code 'unknown option of a command' 2 "$HARDY" guards --jsn
like 'also there' "$err" '^hardy guards: unknown option --jsn, did you mean --json\?'
code 'unknown option of exec' 125 "$HARDY" exec --retires 3 -- true
like 'exec names it too' "$err" 'did you mean --retries\?'
code 'unknown letter' 2 "$HARDY" guards -x
like 'unknown letter is named' "$err" 'unknown option -x'
code 'an abbreviation is refused' 2 "$HARDY" guards --js
like 'with the whole name' "$err" 'did you mean --json\?'
code 'a value is missing' 2 "$HARDY" guards --state
like 'which value' "$err" '\-\-state needs a value'
code 'a switch takes no value' 2 "$HARDY" guards --json=yes
like 'which switch' "$err" '\-\-json takes no value'
code 'wrong level' 2 "$HARDY" guards --log-level loud
like 'the levels are named' "$err" 'error, warning, info, debug'
code 'wrong colour' 2 "$HARDY" guards --color maybe
code 'too much' 2 "$HARDY" guards list more
like 'what is too much' "$err" '"more" is too much'

code 'options may follow operands' 0 "$HARDY" guards list --json
code 'options of all commands may come first' 0 "$HARDY" --json guards list
like 'and count' "$out" '"guards": \[\]'
code 'singular' 0 "$HARDY" guard list
code 'help of a command' 0 "$HARDY" help exec
like 'has examples' "$out" '^Examples:'
code 'help of an unknown command' 2 "$HARDY" help exce
like 'is told the nearest' "$err" 'did you mean "exec"\?'
code 'exec stops at the command' 3 "$HARDY" exec sh -c 'exit 3' --help
code 'exec stops at --' 4 "$HARDY" exec -- sh -c 'exit 4'

code 'a configuration that is not there' 2 "$HARDY" guards -c missing.yaml list
like 'is named' "$err" 'missing\.yaml'
printf 'stat: x\n' >bad.yaml
printf 'a: [\n' >broken.yaml
code 'a configuration that does not parse' 2 "$HARDY" guards -c broken.yaml list
like 'place of the mistake' "$err" 'broken\.yaml:[0-9]+'
code 'for exec it is 125' 125 "$HARDY" exec -c broken.yaml -- true
printf 'state: here.db\n' >hardy.yaml
code 'the state of the configuration' 0 env -u HARDY_STATE "$HARDY" exec --name x -- true
ok 'lies beside it' test -f here.db-guards
code '--state wins' 0 "$HARDY" --state there/s.db exec --name x -- true
ok 'and is made' test -f there/s.db-guards
is 'for its owner only' "$(stat -c %a there/s.db-guards)" 600

sh -c '"$0" exec -- true' "$HARDY" >/dev/full
is 'nothing written, nothing lost' $? 0
"$HARDY" --help >/dev/full 2>err
is 'help that cannot be written is a failure' $? 1
like 'and says so' "$(cat err)" 'cannot write to standard output'
"$HARDY" exec --name x -- true <&- >&- 2>&-
is 'closed descriptors do no harm' $? 0
