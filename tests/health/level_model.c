/* SPDX-License-Identifier: Apache-2.0 */
/*
 * level.c against a model that keeps every result and counts anew each time, over random checks and
 * random results. `--must-find`: level.c has a mistake in it, and the model has to notice.
 */
#include "health/check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RUNS = 3000, STEPS = 200 };

static uint64_t seed;

static uint32_t draw(uint32_t below) { /* xorshift */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

/* --- the model -------------------------------------------------------------------------------- */

struct model {
    enum check_result results[STEPS]; /* as they count */
    int count, up_at;                 /* results before up_at are no reason to be down */
    enum check_level level;
    bool flapping;
};

/* Passes and failures only, the newest first; -1 behind the last. */
static int nth_known(const struct model *m, int n) {
    for (int i = m->count - 1; i >= 0; i--)
        if (m->results[i] != CHECK_UNKNOWN && n-- == 0)
            return i;
    return -1;
}

static bool in_a_row(const struct model *m, enum check_result result, uint32_t wanted) {
    for (uint32_t n = 0; n < wanted; n++) {
        int i = nth_known(m, (int)n);
        if (i < 0 || m->results[i] != result)
            return false;
    }
    return true;
}

static bool often(const struct model *m, const struct check_last *last) {
    uint32_t failures = 0;
    for (uint32_t n = 0; n < last->of; n++) {
        int i = nth_known(m, (int)n);
        failures += i >= m->up_at && m->results[i] == CHECK_FAIL;
    }
    return !last->off && failures >= last->count;
}

static double share(const struct model *m) {
    double sum = 0;
    for (int n = 0; n < 20; n++) {
        int newer = nth_known(m, n), older = nth_known(m, n + 1);
        if (older >= 0 && m->results[newer] != m->results[older])
            sum += 0.80 + 0.02 * (19 - n);
    }
    return sum / 20;
}

static bool ever_passed(const struct model *m) {
    for (int i = 0; i < m->count; i++)
        if (m->results[i] == CHECK_PASS)
            return true;
    return false;
}

static bool model_add(struct model *m, const struct check_settings *c, enum check_result result,
                      int64_t at) {
    enum check_level before = m->level;
    bool graced = result == CHECK_FAIL && at < c->grace && !ever_passed(m);
    m->results[m->count++] = graced ? CHECK_UNKNOWN : result;
    if (graced || result == CHECK_UNKNOWN)
        return false;
    double now = share(m);
    m->flapping = !c->flap.off && now >= (m->flapping ? c->flap.low : c->flap.high) - 1e-9;
    if (result == CHECK_FAIL &&
        (in_a_row(m, CHECK_FAIL, c->failure_threshold) || often(m, &c->failures_in_last)))
        m->level = LEVEL_DOWN;
    if (result == CHECK_PASS &&
        (before == LEVEL_UNKNOWN || in_a_row(m, CHECK_PASS, c->success_threshold)))
        m->level = LEVEL_UP;
    if (m->level == LEVEL_UP && before != LEVEL_UP)
        m->up_at = m->count;
    return m->level != before;
}

/* --- the comparison --------------------------------------------------------------------------- */

static struct check_settings draw_check(void) {
    uint32_t of = 1 + draw(64);
    double high = 0.10013 + draw(80) / 100.0; /* never just a share that there can be */
    return (struct check_settings){
        .failure_threshold = 1 + draw(6),
        .success_threshold = 1 + draw(4),
        .failures_in_last = {.count = 1 + draw(of), .of = of, .off = draw(4) == 0},
        .flap = {.high = high, .low = high * draw(90) / 100.0, .off = draw(8) == 0},
        .grace = draw(3) ? 0 : draw(20)};
}

/* Services that are well, that are not, that come and go: the odds stay for a while. */
static enum check_result draw_result(uint32_t *odds) {
    if (draw(25) == 0)
        *odds = draw(101);
    return draw(10) == 0 ? CHECK_UNKNOWN : draw(100) < *odds ? CHECK_PASS : CHECK_FAIL;
}

static bool same_for(uint64_t number) {
    seed = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    struct check_settings c = draw_check();
    struct check_state s = {0};
    struct model m = {0};
    uint32_t odds = 50;
    bool flapped = false;
    for (int step = 0; step < STEPS; step++) {
        enum check_result result = draw_result(&odds);
        bool changed = check_state_add(&s, &c, result, "m", 1, step, step);
        bool expected = model_add(&m, &c, result, step);
        bool good = changed == expected && s.level == m.level && s.flapping == m.flapping &&
                    s.flap_turned == (flapped != m.flapping) &&
                    fabs(check_flap_share(&s) - share(&m)) < 1e-9;
        if (!good) {
            printf("# seed %llu, result %d: level %s, flapping %d, share %.4f; the model: %s, %d, "
                   "%.4f\n",
                   (unsigned long long)number, step, check_level_text(s.level), s.flapping,
                   check_flap_share(&s), check_level_text(m.level), m.flapping, share(&m));
            return false;
        }
        flapped = m.flapping;
    }
    return true;
}

int main(int argc, char **argv) {
    bool must_find = argc > 1 && strcmp(argv[1], "--must-find") == 0;
    bool same = true;
    for (uint64_t n = 1; n <= RUNS && same; n++)
        same = same_for(n);
    printf("1..1\n%s 1 - %s\n", same != must_find ? "ok" : "not ok",
           must_find ? "the mistake is noticed" : "the level is what the model says");
    return same != must_find ? 0 : 1;
}
