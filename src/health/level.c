/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/str.h"
#include "health/check.h"

#define STALE_UNKNOWNS 3
#define STALE_INTERVALS 3
#define CHANGES ((UINT32_C(1) << (CHECK_FLAP_RESULTS - 1)) - 1)

const char *check_result_text(enum check_result result) {
    static const char *const words[] = {"pass", "fail", "unknown"};
    return words[result];
}

const char *check_level_text(enum check_level level) {
    static const char *const words[] = {"unknown", "up", "down"};
    return words[level];
}

static uint32_t count_bits(uint64_t bits) {
    uint32_t count = 0;
    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

/* --- flapping --------------------------------------------------------------------------------- */

double check_flap_share(const struct check_state *s) {
    unsigned hundredths = 0; /* of a change; 80 for the oldest, 2 more for each newer one */
    unsigned places = CHECK_FLAP_RESULTS - 1;
    for (unsigned i = 0; i < places; i++)
        if (s->changes >> i & 1)
            hundredths += 80 + 2 * (places - 1 - i);
    return hundredths / (100.0 * places);
}

uint32_t check_flap_changes(const struct check_state *s) {
    return count_bits(s->changes);
}

static void add_change(struct check_state *s, const struct check_flap *flap, bool change) {
    s->changes = (s->changes << 1 | change) & CHANGES;
    double share = check_flap_share(s);
    bool flaps = !flap->off && (s->flapping ? share >= flap->low : share >= flap->high);
    s->flap_turned = flaps != s->flapping;
    s->flapping = flaps;
}

/* --- the level -------------------------------------------------------------------------------- */

/* Bad now and then is bad too, though never so often in a row. */
static bool fails_often(const struct check_state *s, const struct check_last *last) {
    uint64_t mask = last->of < CHECK_LAST_MAX ? (UINT64_C(1) << last->of) - 1 : UINT64_MAX;
    return !last->off && last->count > 0 && count_bits(s->recent & mask) >= last->count;
}

static enum check_level judge(const struct check_state *s, const struct check_settings *c) {
    if (s->failures > 0)
        return s->failures >= c->failure_threshold || fails_often(s, &c->failures_in_last)
                   ? LEVEL_DOWN
                   : s->level;
    /* The first good answer ends not knowing; coming back from down takes more. */
    return s->level == LEVEL_UNKNOWN || s->successes >= c->success_threshold ? LEVEL_UP : s->level;
}

bool check_state_add(struct check_state *s, const struct check_settings *c,
                     enum check_result result, const char *message, int64_t took, int64_t now,
                     int64_t wall) {
    enum check_level before = s->level;
    bool failed = result == CHECK_FAIL;
    s->graced = failed && s->counts[CHECK_PASS] == 0 && now < time_add(s->watched_since, c->grace);
    s->flap_turned = false;
    s->last = s->graced ? CHECK_UNKNOWN : result;
    s->last_at = wall;
    s->last_seen = now;
    s->took = took;
    str_copy(s->message, sizeof s->message, message);
    s->counts[s->last]++;
    if (s->last == CHECK_UNKNOWN) {
        s->unknowns += !s->graced;
        return false;
    }
    add_change(s, &c->flap, failed ? s->successes > 0 : s->failures > 0);
    s->successes = failed ? 0 : s->successes + 1;
    s->failures = failed ? s->failures + 1 : 0;
    s->unknowns = 0;
    s->recent = s->recent << 1 | failed;
    s->level = judge(s, c);
    if (s->level == before)
        return false;
    if (s->level == LEVEL_UP)
        s->recent = 0;
    s->since = wall;
    return true;
}

bool check_stale(const struct check_state *s, const struct check_settings *c, int64_t now) {
    int64_t seen = s->last_seen ? s->last_seen : s->watched_since;
    int64_t patience = time_add(time_scale(c->interval, STALE_INTERVALS), c->timeout);
    return s->unknowns >= STALE_UNKNOWNS || now > time_add(seen, patience);
}
