#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two questions that tools/test.sh has about meson's tests (python3 is there because meson is).

tests.py select BUILD WORD...   BUILD's tests that are tagged with one of the words (a suite) or live in
                                tests/WORD/, but not those tagged with one of the words after a `-`:
                                a line "target PATH" for each program to build, "test NAME" for each test
tests.py count LABEL LOG        reads meson's testlog.json; prints skips and failures, then, last,
                                "PASSED FAILED SKIPPED"
"""
import json
import os
import re
import subprocess
import sys

TAIL = 40  # lines of output shown of a test that failed


def select(build, words):
    listed = subprocess.run(["meson", "introspect", "--tests", "--targets", build], check=True, stdout=subprocess.PIPE)
    known = json.loads(listed.stdout)
    files = {target["id"]: target["filename"] for target in known["targets"]}
    refused = {word[1:] for word in words if word.startswith("-")}
    needed = set()
    for test in known["tests"]:
        tags = {suite.split(":")[-1] for suite in test["suite"]}
        places = re.findall(r"/tests/([^/]+)/", " ".join(test["cmd"]))
        if not set(words) & tags.union(places) or refused & tags:
            continue
        print("test", test["name"])
        needed.update(name for target in test["depends"] for name in files[target])
    for name in sorted(needed):
        print("target", os.path.relpath(name, os.path.realpath(build)))


def read_tap(output):
    """The cases of a TAP stream: passed (a number), failed (texts), skipped (name, why), and how many
    the plan announced (None without a plan)."""
    passed, failed, skipped, planned = 0, [], [], None
    for line in output.splitlines():
        plan = re.match(r"1\.\.(\d+)\s*(?:#\s*skip\S*\s*(.*))?$", line, re.I)
        if plan:
            planned = int(plan.group(1)) or 1
            if plan.group(1) == "0" and plan.group(2):
                skipped.append(("", plan.group(2)))
            elif plan.group(1) == "0":
                failed.append("it was skipped and does not say why")
            continue
        case = re.match(r"(not )?ok\b\s*(\d*)\s*(?:- )?(.*)$", line)
        if not case:
            continue
        name, _, directive = case.group(3).partition("#")
        name = name.strip() or "case " + case.group(2)
        skip = re.match(r"\s*skip\S*\s*(.*)", directive, re.I)
        if skip and case.group(1):
            failed.append("%s was skipped with cmocka's skip(), which cannot say why" % skip.group(1))
        elif skip and not skip.group(1):
            failed.append("%s was skipped and does not say why" % name)
        elif skip:
            skipped.append((name, skip.group(1)))
        elif case.group(1):
            failed.append(name)
        else:
            passed += 1
    return passed, failed, skipped, planned


def judge(test):
    """passed, failed, skipped of one entry of the log."""
    output = test.get("stdout") or ""
    passed, failed, skipped, planned = read_tap(output)
    reported = passed + len(failed) + len(skipped)
    how = "it ended with %s, exit status %s" % (test["result"], test["returncode"])
    if planned is None and reported == 0:  # not TAP: the whole program is one case
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            return 1, [], []
        why = output.strip().splitlines()
        if test["result"] == "SKIP" and why:
            return 0, [], [("", why[-1])]
        return 0, [how], []
    if test["result"] == "TIMEOUT":
        failed.append("it did not end in time, after %d cases" % reported)
    elif test["returncode"] != 0 and not failed:
        failed.append(how)
    elif planned is None:
        failed.append("it reported %d cases without a plan (1..N)" % reported)
    elif planned != reported:
        failed.append("it announced %d cases and reported %d" % (planned, reported))
    elif test["result"] not in ("OK", "SKIP") and not failed:
        failed.append(how)
    return passed, failed, skipped


def count(label, log):
    sums = [0, 0, 0]
    for line in open(log, encoding="utf-8", errors="replace"):
        test = json.loads(line)
        name = "%s: %s" % (label, test["name"])
        passed, failed, skipped = judge(test)
        for case, why in skipped:
            print("skipped: %s%s: %s" % (name, case and ": " + case, why))
        for case in failed:
            print("FAILED: %s: %s" % (name, case))
        if failed:
            both = (test.get("stdout") or "") + (test.get("stderr") or "")
            print("\n".join("    " + text for text in both.rstrip().splitlines()[-TAIL:]))
        sums = [sums[0] + passed, sums[1] + len(failed), sums[2] + len(skipped)]
    print(*sums)


if len(sys.argv) >= 4 and sys.argv[1] == "select":
    select(sys.argv[2], sys.argv[3:])
elif len(sys.argv) == 4 and sys.argv[1] == "count":
    count(sys.argv[2], sys.argv[3])
else:
    sys.exit(__doc__)
