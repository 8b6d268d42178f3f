/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_CLAIMS_H
#define SIM_CLAIMS_H
/* What is often said of retries, breakers and recovery, measured in each model where it means
 * something: which of it holds, where, and why not. */
#include "base/json.h"

#define CLAIMS 6
#define CLAIM_CASES 8 /* of a claim, at most */

struct claims {
    double measured[CLAIMS][CLAIM_CASES]; /* below 0: never */
};
/* Some seconds of a machine's time; always the same. E_NOMEM. */
hardy_status claims_measure(struct claims *c, hardy_error *error);
void claims_text(const struct claims *c, struct buf *out);
void claims_json(const struct claims *c, struct buf *out);
#endif
