# SPDX-License-Identifier: Apache-2.0
"""Prints the results of a test program as TAP."""
import sys

count = failed = 0


def check(what, good, note=""):
    """note: what is shown when it is not good."""
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}", flush=True)
    if not good:
        failed += 1
        print("\n".join("#   " + line for line in str(note).splitlines()), flush=True)


def skip(what, why):
    global count
    count += 1
    print(f"ok {count} - {what} # SKIP {why}", flush=True)


def finish():
    """The plan; ends the program with 1 if anything failed."""
    print(f"1..{count}")
    sys.exit(1 if failed else 0)
