#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutate.py SOURCE OUTPUT WRONG RIGHT: copies a C file with one bug put in: RIGHT, which must stand there
exactly once (white space aside), becomes WRONG. A mutation that no longer fits its source stops the build."""
import re
import sys

source, output, wrong, right = sys.argv[1:]
text = open(source, encoding="utf-8").read()
pattern = r"\s+".join(re.escape(word) for word in right.split())
mutated, count = re.subn(pattern, lambda match: wrong, text)
if count != 1:
    sys.exit(f"{source}: expected once, found {count} times: {right}")
with open(output, "w", encoding="utf-8") as out:
    out.write(mutated)
