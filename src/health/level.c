/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "health/check.h"

const char *check_level_text(enum check_level level) {
    static const char *const words[] = {"unknown", "up", "down"};
    return words[level];
}

bool check_state_add(struct check_state *s, const struct check_settings *c,
                     enum check_result result, const char *message, int64_t took, int64_t wall) {
    enum check_level before = s->level;
    s->last = result;
    s->last_at = wall;
    s->took = took;
    str_copy(s->message, sizeof s->message, message);
    switch (result) {
    case CHECK_UNKNOWN:
        s->unknowns++;
        return false;
    case CHECK_PASS:
        s->successes++;
        s->failures = s->unknowns = 0;
        /* The first good answer ends not knowing; coming back from down takes more. */
        if (s->level == LEVEL_UNKNOWN || s->successes >= c->success_threshold)
            s->level = LEVEL_UP;
        break;
    case CHECK_FAIL:
        s->failures++;
        s->successes = s->unknowns = 0;
        if (s->failures >= c->failure_threshold)
            s->level = LEVEL_DOWN;
        break;
    }
    if (s->level == before)
        return false;
    s->since = wall;
    return true;
}
