/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H
/*
 * The program's door to a guard: policies over words that live elsewhere (mapped memory shared by
 * the processes of a host), and what the guard was made of.
 */
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/gcra.h"
#include <hardy/op.h>

/* Borrowed until hardy_guard_free(). A NULL member: the guard keeps words of its own. */
struct guard_words {
    struct breaker_words *breaker;
    struct gcra_words *rate;
    struct budget_words *budget;
};

/* hardy_guard_new() over given words; `words` NULL = all its own. */
HARDY_MUST_USE hardy_status guard_new_over(const hardy_guard_config *config, const hardy_env *env,
                                           const struct guard_words *words, hardy_guard **out,
                                           hardy_error *error);

/* hardy_guard_change() to given words: those it has, or it counts from nothing. */
HARDY_MUST_USE hardy_status guard_change_over(hardy_guard *guard, const hardy_guard_config *config,
                                              const struct guard_words *words, hardy_error *error);

/* Whether it would take them; afterwards it does, and needs no memory for it. */
HARDY_MUST_USE hardy_status guard_check_change(hardy_guard *guard, const hardy_guard_config *config,
                                               hardy_error *error);

/* The effective settings, borrowed until they are changed: layers point at the guard's copies. */
const hardy_guard_config *guard_config(const hardy_guard *guard);
const char *guard_name(const hardy_guard *guard);
/* So many attempts at once for now, 0 = as configured; see bulkhead_limit(). Without a bulkhead
 * nothing. */
void guard_limit(hardy_guard *guard, uint32_t at_once);
#endif
