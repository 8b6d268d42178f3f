# SPDX-License-Identifier: Apache-2.0
"""tenacity around a function that succeeds: nanoseconds a call."""

import time

import tenacity

# As in guard.c: the best of many short pieces, so that other work on the machine disturbs it little.
CALLS = 100


@tenacity.retry(
    stop=tenacity.stop_after_attempt(6),
    wait=tenacity.wait_random_exponential(multiplier=1, max=60),
)
def guarded():
    return 1


def once():
    begun = time.perf_counter_ns()
    for _ in range(CALLS):
        guarded()
    return (time.perf_counter_ns() - begun) / CALLS


print(f"retry\t{min(once() for _ in range(1000)):.1f}")
