/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_STORY_H
#define SIM_STORY_H
/* What a run of a scenario is told as: tables and a verdict in words for a person, one JSON
 * document for a program. */
#include "sim/plan.h"
#include "sim/remedy.h"

struct story {
    const char *name; /* of the scenario */
    const struct scenario *scenario;
    const hardy_guard_config *guard;
    uint64_t seed;
    const struct fleet_result *result;
    const struct measures *measures;
    const struct remedies *remedies; /* NULL: none was looked for */
    const struct chart *chart;
    const struct plan *plan;
    const char *const *warnings; /* what hardy says of the guard's settings; NULL-terminated */
};
void story_title(const struct story *s, struct buf *out); /* one line without its end */
void story_table(const struct story *s, struct buf *out);
void story_verdict(const struct story *s, struct buf *out);
void story_json(const struct story *s, struct buf *out);
#endif
