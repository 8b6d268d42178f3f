/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHARED_FIELDS_H
#define SHARED_FIELDS_H
/*
 * The settings of the policies as words of a fixed layout: stored in the file that all processes
 * of a host map, compared with what a call gives, and told to a person. One row a setting.
 */
#include "base/buf.h"
#include <stdint.h>

enum policy { POLICY_BREAKER, POLICY_RATE, POLICY_BUDGET, POLICY_SLOTS, POLICIES };
#define FIELDS_MAX 20 /* of the policy that has most */

struct fields {
    uint32_t has[POLICIES];              /* 1: there are settings of that policy */
    int64_t words[POLICIES][FIELDS_MAX]; /* as the tables say; doubles by their bits */
};
/* `config`: hardy_breaker_config, hardy_rate_config, hardy_budget_config, or uint32_t. */
void fields_store(struct fields *f, enum policy policy, const void *config);
void fields_load(const struct fields *f, enum policy policy, void *config);
/* Whether they are the same; if not, what differs goes to `text`: "ratio 0.1 (given 0.5)". */
bool fields_same(const struct fields *f, enum policy policy, const void *config, struct buf *text);
bool fields_any(const struct fields *f); /* of any policy */
const char *fields_policy_name(enum policy policy);
#endif
