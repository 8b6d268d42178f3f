#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy exec on a terminal: the command may read from it, Ctrl-C reaches it, and hardy ends as a
# program that was interrupted does.
. "$(dirname "$0")/../tap.sh"
if ! command -v python3 >/dev/null; then
    skip 'a terminal' 'python3 is not here'
    exit 0
fi
# terminal KEYS COMMAND...: runs it on a terminal of its own, types KEYS once it has printed "ready",
# prints what the terminal shows and how it ended.
cat >terminal.py <<'PY'
import os, pty, select, sys, time
keys, command = sys.argv[1].encode().decode("unicode_escape").encode(), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown, typed, status, end = b"", False, None, time.monotonic() + 10
def read(wait):  # whether there was anything
    global shown
    try:
        more = os.read(fd, 65536) if select.select([fd], [], [], wait)[0] else b""
    except OSError:  # the terminal's other end is closed
        more = b""
    shown += more
    return more
while time.monotonic() < end:
    read(0.05)
    if b"ready" in shown and not typed:
        os.write(fd, keys)
        typed = True
    done, how = os.waitpid(pid, os.WNOHANG)
    if done:
        status = how
        while read(0):  # what was written just before the end
            pass
        break
if status is None:
    os.kill(pid, 9)
    print("hangs")
else:
    print(shown.decode(errors="replace").replace("\r", ""))
    print("signal", os.WTERMSIG(status)) if os.WIFSIGNALED(status) else print("code", os.WEXITSTATUS(status))
PY
terminal() { timeout 20 python3 terminal.py "$@"; }

like 'a command reads from the terminal' \
    "$(terminal 'hello\n' "$HARDY" exec -- sh -c 'echo ready; read x; echo "got $x"')" '^got hello$'
like 'also through /dev/tty, when standard input is something else' \
    "$(terminal 'secret\n' sh -c 'echo data | "$0" exec -- sh -c "cat >/dev/null; echo ready; read x </dev/tty; echo \"got \$x\""' "$HARDY")" \
    '^got secret$'
like 'Ctrl-C ends command and hardy, and is not retried' \
    "$(terminal '\x03' "$HARDY" exec --retries 3 -- sh -c 'echo ready >&2; sleep 9')" '^signal 2$'
like 'a command that knows what to do with Ctrl-C goes on' \
    "$(terminal '\x03\n\n' "$HARDY" exec -- sh -c 'trap "echo caught" INT; echo ready; read x; read x; echo done')" '^code 0$'
like 'one that fails after it was interrupted' \
    "$(terminal '\x03' "$HARDY" exec --retries 3 -- sh -c 'trap "exit 3" INT; echo ready >&2; while :; do sleep 0.01; done')" '^signal 2$'
like 'Ctrl-C during a wait' \
    "$(terminal '\x03' "$HARDY" exec --stream --retries 3 --base-delay 60s --jitter none -- sh -c 'echo ready; exit 1')" '^signal 2$'
like 'a timeout on a terminal' \
    "$(terminal '' "$HARDY" exec --timeout 100ms -- sh -c 'echo ready; sleep 9 & sleep 9')" '^code 124$'
like 'colours on a terminal' \
    "$(terminal '' sh -c '"$0" exec --name x -- true; "$0" guards list; echo ready' "$HARDY")" $'\033\[32mclosed'
unlike 'none with NO_COLOR' \
    "$(NO_COLOR=1 terminal '' sh -c '"$0" guards list; echo ready' "$HARDY")" $'\033'
