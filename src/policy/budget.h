/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BUDGET_H
#define POLICY_BUDGET_H
/* The retry budget over one relocatable word (what is missing in 1/1000 tokens, time of the last
 * use). Zero = never used = full. A full budget is only read by a deposit, never written. */
#include "base/atomic.h"
#include <hardy/retry.h>

struct budget_words {
    _Alignas(64) atomic_word balance;
};
void budget_deposit(struct budget_words *w, const hardy_budget_config *c,
                    int64_t now); /* a first attempt */
bool budget_withdraw(struct budget_words *w, const hardy_budget_config *c, uint32_t tokens,
                     int64_t now); /* a retry */
void budget_refund(struct budget_words *w, const hardy_budget_config *c, uint32_t tokens,
                   int64_t now); /* it was not used */
double budget_left(const struct budget_words *w, const hardy_budget_config *c, int64_t now);
hardy_status budget_check(const hardy_budget_config *c, hardy_error *error);
#endif
