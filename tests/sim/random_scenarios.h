/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RANDOM_SCENARIOS_H
#define RANDOM_SCENARIOS_H
#include "sim/fleet.h"

#define RANDOM_WHY 2000
/* Writes a random scenario file and tries it out. False: `why` says what does not hold, and has the
 * file's text. *accepted: it was a right one, and ran. */
bool random_scenario(uint64_t seed, const hardy_guard_config *guard, bool *accepted,
                     char why[RANDOM_WHY]);
#endif
