/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_AIMD_H
#define POLICY_AIMD_H
/*
 * How many at once the far side takes, found out by additive increase and multiplicative decrease
 * (Chiu and Jain 1989; TCP, RFC 5681): one more after as many successes as are let through at once,
 * seven tenths (RFC 9438) of what was under way after a drop.
 *
 * What is under way when the first drop is heard of was let through by the old limit: it says
 * nothing of the new one, so that a limit falls at most once a round trip. And who has less than
 * half of the limit under way learns nothing of whether more would go well. The time that calls
 * take is not looked at: an answer of a model takes ten times as long when it is ten times as long.
 */
#include "base/atomic.h"

/* A word: the limit, the successes since it changed, how often it was lowered. Zero = no limit. */
uint64_t aimd_start(uint32_t limit);
uint32_t aimd_limit(uint64_t word);
/* When a call is made, with itself `in_flight`: what aimd_learn() wants back. */
uint64_t aimd_mark(const atomic_word *w, uint32_t in_flight);
/* The call has ended, well or `dropped`; itself still in flight. Whether the limit changed, which
 * stays between min and max. */
bool aimd_learn(atomic_word *w, uint64_t mark, bool dropped, uint32_t in_flight, uint32_t min,
                uint32_t max);
#endif
