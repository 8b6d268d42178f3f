/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/fail_over_decide.h"
#include "base/clock.h"
#include "base/parse.h"
#include "supervise/fail_over_seeded.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *fail_over_condition_text(enum fail_over_condition condition) {
    static const char *const words[] = {"well", "degraded", "unknown", "out"};
    return words[condition];
}

/* --- what is known ---------------------------------------------------------------------------- */

void fail_over_seen_init(struct fail_over_seen *s, const char *name, int64_t fresh_for) {
    *s = (struct fail_over_seen){
        .name = name, .fresh_for = fresh_for, .at = HARDY_NEVER, .last = CHECK_UNKNOWN};
}

void fail_over_see(struct fail_over_seen *s, enum check_result last, enum check_level level,
                   bool flapping, int64_t now) {
    if (s->at == HARDY_NEVER || (level != s->level && !FAIL_OVER_BUG(BUG_OLD_LEVEL)))
        s->level_since = now;
    s->passes = last == CHECK_PASS                                     ? s->passes + 1
                : last == CHECK_FAIL && FAIL_OVER_BUG(BUG_PASSES_KEPT) ? s->passes
                                                                       : 0;
    s->at = now;
    s->last = last;
    s->level = level;
    s->flapping = flapping;
}

static bool fresh(const struct fail_over_seen *s, int64_t now) {
    return s->at != HARDY_NEVER && now - s->at <= s->fresh_for;
}

/* Good enough to be switched to: its very last answer was good, too. */
static bool usable(const struct fail_over_seen *s, int64_t now) {
    if (FAIL_OVER_BUG(BUG_UNKNOWN_IS_UP) && s->level != LEVEL_DOWN)
        return true;
    return s->level == LEVEL_UP && s->last == CHECK_PASS && fresh(s, now) &&
           (!s->flapping || FAIL_OVER_BUG(BUG_FLAPPING));
}

/* Its last answer was bad, too: what was down and is not heard of now may be up. */
static bool known_down(const struct fail_over_seen *s, int64_t now) {
    return s->level == LEVEL_DOWN && s->last == CHECK_FAIL && fresh(s, now);
}

static bool known_up(const struct fail_over_seen *s, int64_t now) {
    return s->level == LEVEL_UP && fresh(s, now);
}

static const char *state_text(const struct fail_over_seen *s, int64_t now) {
    return s->at == HARDY_NEVER       ? "not checked yet"
           : !fresh(s, now)           ? "not heard of"
           : s->level == LEVEL_DOWN   ? "down"
           : s->flapping              ? "flapping"
           : s->last == CHECK_UNKNOWN ? "unknown"
           : s->last == CHECK_FAIL    ? "about to fail"
           : s->level == LEVEL_UP     ? "up"
                                      : "unknown";
}

static bool other_is_up(const struct fail_over_machine *m, int64_t now) {
    for (size_t n = 0; n < m->count; n++)
        if (n != m->active && known_up(&m->seen[n], now))
            return true;
    return false;
}

/* --- what is decided -------------------------------------------------------------------------- */

static void add(char *why, size_t size, const char *format, ...) HARDY_PRINTF(3, 4);
static void add(char *why, size_t size, const char *format, ...) {
    size_t len = strlen(why);
    va_list args;
    va_start(args, format);
    vsnprintf(why + len, size - len, format, args);
    va_end(args);
}

#define WHY(next, ...) add((next)->why, sizeof(next)->why, __VA_ARGS__)

static void why_nobody(const struct fail_over_machine *m, int64_t now,
                       struct fail_over_next *next) {
    WHY(next, "; no other one is up:");
    for (size_t n = 0, told = 0; n < m->count; n++)
        if (n != m->active)
            WHY(next, "%s %s is %s", told++ ? "," : "", m->seen[n].name,
                state_text(&m->seen[n], now));
}

/* When the next switch may be. */
static int64_t rested_at(const struct fail_over_machine *m) {
    return m->switched == HARDY_NEVER ? INT64_MIN : time_add(m->switched, m->rule->dwell);
}

/* Whether nothing stands against a switch to `to`; `why` says what does. */
static bool may_switch(const struct fail_over_machine *m, size_t to, int64_t now,
                       struct fail_over_next *next) {
    char span[48];
    int64_t at = rested_at(m);
    if (m->seen[m->active].flapping && !FAIL_OVER_BUG(BUG_FLAPPING)) {
        WHY(next, "; its check flaps, so it stays");
        return false;
    }
    if (now < at && !(to == 0 && FAIL_OVER_BUG(BUG_BACK_AT_ONCE))) {
        format_duration_short(at - now, span);
        WHY(next, "; switched not long ago, and not again for another %s", span);
        next->again = at;
        return false;
    }
    return true;
}

static void choose(const struct fail_over_machine *m, size_t to, struct fail_over_next *next) {
    next->to = to;
    next->kind = m->hands ? FAIL_OVER_PROPOSE : FAIL_OVER_SWITCH;
}

/* The first one that can take over; `count` = none. */
static size_t successor(const struct fail_over_machine *m, int64_t now) {
    for (size_t n = 0; n < m->count; n++)
        if (n != m->active && usable(&m->seen[n], now))
            return n;
    return m->count;
}

static void get_away(const struct fail_over_machine *m, int64_t now, struct fail_over_next *next) {
    size_t to = successor(m, now);
    if (to == m->count)
        why_nobody(m, now, next);
    else if (may_switch(m, to, now, next))
        choose(m, to, next);
}

static bool down_long_enough(const struct fail_over_machine *m, int64_t now) {
    const struct fail_over_seen *active = &m->seen[m->active];
    return known_down(active, now) && now - active->level_since >= m->rule->after;
}

static void go_back(const struct fail_over_machine *m, int64_t now, struct fail_over_next *next) {
    const struct fail_over_seen *primary = &m->seen[0];
    WHY(next, "%s%s is active instead of %s", next->why[0] ? "; " : "", m->seen[m->active].name,
        primary->name);
    if (!usable(primary, now)) {
        WHY(next, ", which is %s", state_text(primary, now));
    } else if (primary->passes < m->rule->passes) {
        WHY(next, ", which has passed %u of %u times", primary->passes, m->rule->passes);
    } else if (may_switch(m, 0, now, next)) {
        next->why[0] = '\0';
        WHY(next, "%s is well again: its check has passed %u times in a row", primary->name,
            primary->passes);
        next->back = true;
        choose(m, 0, next);
    }
}

static enum fail_over_condition condition_of(const struct fail_over_machine *m, int64_t now) {
    const struct fail_over_seen *active = &m->seen[m->active];
    if (active->level == LEVEL_DOWN && fresh(active, now))
        return FAIL_OVER_OUT;
    if (!known_up(active, now) || active->last == CHECK_UNKNOWN)
        return FAIL_OVER_UNKNOWN;
    if ((m->active != 0 && m->rule->fail_back) || !other_is_up(m, now))
        return FAIL_OVER_DEGRADED;
    return FAIL_OVER_WELL;
}

/* Trouble of any kind is one trouble, until it is over. */
static void look(struct fail_over_machine *m, int64_t now) {
    enum fail_over_condition before = m->condition;
    m->condition = condition_of(m, now);
    if ((before == FAIL_OVER_WELL) != (m->condition == FAIL_OVER_WELL))
        m->since = now;
}

static void describe(const struct fail_over_machine *m, int64_t now, struct fail_over_next *next) {
    const struct fail_over_seen *active = &m->seen[m->active];
    char span[48];
    switch (m->condition) {
    case FAIL_OVER_OUT:
        format_duration_short(now - active->level_since, span);
        WHY(next, "%s is down, for %s now", active->name, span);
        break;
    case FAIL_OVER_UNKNOWN:
        WHY(next, "nobody knows whether %s is up: it is %s", active->name, state_text(active, now));
        break;
    case FAIL_OVER_DEGRADED:
        if (m->active == 0 || !m->rule->fail_back) {
            WHY(next, "%s is up", active->name);
            why_nobody(m, now, next);
        }
        break;
    case FAIL_OVER_WELL:
        WHY(next, "%s is up", active->name);
        break;
    }
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* One that was down is told of again when it goes down once more, though the trouble as a whole is
 * not over meanwhile. */
static void forget_outage(struct fail_over_machine *m, int64_t now) {
    const struct fail_over_seen *active = &m->seen[m->active];
    if (m->told == FAIL_OVER_OUT && known_up(active, now) &&
        now - active->level_since >= m->rule->dwell)
        m->told = FAIL_OVER_DEGRADED;
}

/* Whom the outcome concerns: people, at once or after a while. */
static void tell(struct fail_over_machine *m, int64_t now, struct fail_over_next *next) {
    int64_t well_at = time_add(m->since, m->rule->after);
    int64_t told_at = time_add(m->since, m->rule->escalate_after);
    if (m->condition == FAIL_OVER_WELL) {
        if (m->told == FAIL_OVER_WELL)
            return;
        if (now >= well_at)
            next->tell = FAIL_OVER_RESOLVE;
        else
            next->again = earlier(next->again, well_at);
        return;
    }
    forget_outage(m, now);
    if (next->kind == FAIL_OVER_SWITCH || (m->hands && m->quiet))
        return;
    if (m->told != FAIL_OVER_OUT && down_long_enough(m, now))
        next->tell = FAIL_OVER_PAGE;
    else if (m->told == FAIL_OVER_WELL && now >= told_at)
        next->tell = FAIL_OVER_PAGE;
    else if (m->told == FAIL_OVER_WELL)
        next->again = earlier(next->again, told_at);
}

void fail_over_machine_init(struct fail_over_machine *m, const struct fail_over_rule *rule,
                            struct fail_over_seen *seen, size_t count, int64_t now) {
    *m = (struct fail_over_machine){.rule = rule,
                                    .seen = seen,
                                    .count = count,
                                    .switched = HARDY_NEVER,
                                    .condition = FAIL_OVER_UNKNOWN,
                                    .since = now};
}

struct fail_over_next fail_over_decide(struct fail_over_machine *m, int64_t now) {
    struct fail_over_next next = {.kind = FAIL_OVER_STAY, .to = m->active, .again = HARDY_NEVER};
    const struct fail_over_seen *active = &m->seen[m->active];
    look(m, now);
    describe(m, now, &next);
    if (down_long_enough(m, now))
        get_away(m, now, &next);
    else if (m->active != 0 && m->rule->fail_back)
        go_back(m, now, &next);
    if (next.kind == FAIL_OVER_STAY && known_down(active, now) && !down_long_enough(m, now))
        next.again = earlier(next.again, time_add(active->level_since, m->rule->after));
    if (m->hands && next.kind == FAIL_OVER_PROPOSE)
        WHY(&next, "; would switch to %s, but %s", m->seen[next.to].name, m->hands);
    tell(m, now, &next);
    return next;
}

struct fail_over_next fail_over_asked(const struct fail_over_machine *m, int64_t now) {
    struct fail_over_next next = {.kind = FAIL_OVER_STAY, .to = m->active, .again = HARDY_NEVER};
    size_t to = successor(m, now);
    WHY(&next, "asked to leave %s", m->seen[m->active].name);
    if (to == m->count) {
        why_nobody(m, now, &next);
    } else if (may_switch(m, to, now, &next)) {
        next.kind = FAIL_OVER_SWITCH;
        next.to = to;
    }
    return next;
}

void fail_over_told(struct fail_over_machine *m, enum fail_over_tell tell) {
    if (tell == FAIL_OVER_RESOLVE)
        m->told = FAIL_OVER_WELL;
    else if (tell == FAIL_OVER_PAGE && m->told != FAIL_OVER_OUT)
        m->told = m->condition == FAIL_OVER_OUT ? FAIL_OVER_OUT : FAIL_OVER_DEGRADED;
}

void fail_over_moved(struct fail_over_machine *m, size_t to, int64_t now) {
    m->active = to;
    m->switched = now;
}
