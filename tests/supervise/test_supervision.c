/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that hardy supervise does, together, in virtual time: hours in which nothing is wrong and
 * nothing may be done, faults one at a time, and hours of all of them with kills, pauses, a full
 * disk and a pager that is away.
 *
 *   test_supervision [HEALTHY_HOURS FAULTY_HOURS [BUG]]
 */
#include "../cmocka_all.h"
#include "base/parse.h"
#include "village.h"
#include <stdio.h>
#include <string.h>

#ifdef HARDY_SEEDED_BUGS
extern int seeded_bug;
int seeded_bug;
#else
static int seeded_bug;
#endif

enum { RUN = 10, HEALTHY_RUN = 100 }; /* hours of a seed */
static int64_t healthy_hours = 1000, faulty_hours = 200;

static void has_gone_wrong(const char *what, uint64_t seed) {
    fail_msg("%s, seed %llu: %s", what, (unsigned long long)seed, village_wrong());
}

/* --- nothing is wrong ---------------------------------------------------------------------------
 */

static void in_healthy_hours_nothing_is_done(void **state) {
    (void)state;
    figures = (struct figures){0};
    for (int64_t hours = 0, seed = 1; hours < healthy_hours; hours += HEALTHY_RUN, seed++) {
        village_begin((uint64_t)seed, true);
        for (int n = 0; n < HEALTHY_RUN; n++) {
            village_pass(HARDY_HOUR);
            if (n % 24 == 11) /* hardy itself is not looked after so well */
                village_kill((int64_t)village_random(60) * HARDY_MINUTE,
                             (int64_t)village_random(60) * HARDY_SECOND);
        }
        if (!village_end())
            has_gone_wrong("healthy", (uint64_t)seed);
        village_drop();
        figures.hours += HEALTHY_RUN;
    }
    print_message(
        "# %lld healthy hours: %llu heals, %llu restarts, %llu switches, %llu pages; hardy "
        "was killed %llu times\n",
        (long long)figures.hours, (unsigned long long)figures.heals,
        (unsigned long long)figures.restarts, (unsigned long long)figures.switches,
        (unsigned long long)figures.pages, (unsigned long long)figures.kills);
    assert_int_equal(figures.heals + figures.restarts + figures.switches + figures.pages, 0);
}

/* --- one fault at a time ------------------------------------------------------------------------
 */

static const struct one {
    enum place_id place;
    enum fault fault;
    int64_t lasts;
    uint64_t heals, restarts, switches, pages; /* that are right */
} ones[] = {
    {SHOP, CRASH, HARDY_NEVER, 0, 1, 0, 0},         {API, HANG, HARDY_NEVER, 1, 0, 0, 0},
    {QUEUE, HANG, HARDY_NEVER, 1, 0, 0, 0},         {CACHE, MEMORY, HARDY_NEVER, 1, 0, 0, 0},
    {STUCK, NO_REMEDY, 2 * HARDY_HOUR, 3, 0, 0, 1}, {SHOP, UNSEEN, 2 * HARDY_HOUR, 0, 0, 0, 0},
    {CACHE, UNSEEN, 2 * HARDY_HOUR, 0, 0, 0, 0},    {OUTSIDE, BLIP, HARDY_HOUR, 0, 0, 0, 0},
    {WATCHED, HANG, HARDY_HOUR, 0, 0, 0, 1},        {ASKED, HANG, HARDY_NEVER, 1, 0, 0, 1},
    {DB, PRIMARY, HARDY_HOUR, 0, 0, 2, 1},
};

static void each_fault_alone_leads_to_what_is_right(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof ones / sizeof *ones; n++) {
        const struct one *o = &ones[n];
        village_begin(n + 1, false);
        figures = (struct figures){0};
        village_answers(1, 0);
        assert_true(village_fault(o->place, o->fault, o->lasts));
        village_pass(4 * HARDY_HOUR);
        if (!village_end())
            has_gone_wrong(fault_texts[o->fault], n + 1);
        village_drop();
        if (figures.heals != o->heals || figures.restarts != o->restarts ||
            figures.switches != o->switches || figures.pages != o->pages)
            fail_msg("%s: %llu heals, %llu restarts, %llu switches, %llu pages",
                     fault_texts[o->fault], (unsigned long long)figures.heals,
                     (unsigned long long)figures.restarts, (unsigned long long)figures.switches,
                     (unsigned long long)figures.pages);
        assert_int_equal(figures.resolves, figures.pages);
    }
}

/* --- hours of all of them -----------------------------------------------------------------------
 */

static int64_t span(int64_t low, int64_t high) {
    return low + (int64_t)village_random((uint64_t)(high - low) / HARDY_SECOND) * HARDY_SECOND;
}

static void one_more_fault(void) {
    static const struct {
        enum place_id place;
        enum fault fault;
        bool stays; /* until it is mended */
    } all[] = {
        {SHOP, CRASH, true},        {SHOP, CRASH_LOOP, true}, {SHOP, HANG, true},
        {SHOP, BROWN_OUT, true},    {SHOP, UNSEEN, false},    {API, CRASH, true},
        {API, HANG, true},          {API, FLAPPING, false},   {QUEUE, FULL_QUEUE, false},
        {QUEUE, FULL_QUEUE, false}, {CACHE, MEMORY, true},    {CACHE, UNSEEN, false},
        {STUCK, NO_REMEDY, false},  {WATCHED, HANG, false},   {ASKED, HANG, false},
        {OUTSIDE, BLIP, false},     {DB, PRIMARY, false},     {DB, PRIMARY, false},
    };
    size_t n = village_random(sizeof all / sizeof *all);
    int64_t lasts = village_random(3) ? span(HARDY_MINUTE, 2 * HARDY_HOUR)
                                      : span(5 * HARDY_SECOND, 2 * HARDY_MINUTE);
    (void)village_fault(all[n].place, all[n].fault, all[n].stays ? HARDY_NEVER : lasts);
}

static bool hours_of_faults(uint64_t seed) {
    int pager = 0, full = 0, pause = 0, paused = 0;
    village_begin(seed, true);
    for (int64_t passed = 0; passed < RUN * HARDY_HOUR && !village_wrong();) {
        int64_t step = span(10 * HARDY_SECOND, 4 * HARDY_MINUTE);
        if (village_random(4) == 0)
            one_more_fault();
        if (village_random(12) == 0)
            village_kill(span(0, HARDY_MINUTE), village_random(3) ? 0 : span(0, HARDY_MINUTE));
        if (pager == 0 && village_random(30) == 0) {
            village_pager((enum pager_mood)(1 + village_random(PAGER_MOODS - 1)));
            pager = 1 + (int)village_random(8);
        } else if (pager > 0 && --pager == 0) {
            village_pager(TAKES);
        }
        if (full == 0 && village_random(40) == 0) {
            village_full(true);
            full = 1 + (int)village_random(5);
        } else if (full > 0 && --full == 0) {
            village_full(false);
        }
        if (pause == 0 && village_random(20) == 0) {
            paused = (int)village_random(PLACES + 1);
            village_pause(paused, true);
            pause = 1 + (int)village_random(12);
        } else if (pause > 0 && --pause == 0) {
            village_pause(paused, false);
        }
        village_pass(step);
        passed += step;
    }
    figures.hours += RUN;
    bool good = village_end();
    village_drop();
    return good;
}

static void tell_figures(void) {
    print_message(
        "# %lld faulty hours: %llu heals, %llu restarts, %llu switches, %llu pages and %llu "
        "of their ends (%llu copies)\n",
        (long long)figures.hours, (unsigned long long)figures.heals,
        (unsigned long long)figures.restarts, (unsigned long long)figures.switches,
        (unsigned long long)figures.pages, (unsigned long long)figures.resolves,
        (unsigned long long)figures.copies);
    print_message(
        "# %llu kills, %llu pauses, %llu times the pager was away, %llu times the disk full\n",
        (unsigned long long)figures.kills, (unsigned long long)figures.pauses,
        (unsigned long long)figures.outages, (unsigned long long)figures.full);
    for (size_t n = WELL + 1; n < FAULTS; n++)
        print_message("# %-10s %5llu: %5llu mended, %5llu told, %5llu over before\n",
                      fault_texts[n], (unsigned long long)figures.faults[n],
                      (unsigned long long)figures.mended[n], (unsigned long long)figures.told[n],
                      (unsigned long long)figures.by_itself[n]);
}

static void in_faulty_hours_it_is_mended_or_told(void **state) {
    (void)state;
    figures = (struct figures){0};
    for (int64_t hours = 0, seed = 1; hours < faulty_hours; hours += RUN, seed++)
        if (!hours_of_faults((uint64_t)seed))
            has_gone_wrong("faulty", (uint64_t)seed);
    tell_figures();
    for (size_t n = WELL + 1; n < FAULTS && faulty_hours >= 100; n++)
        assert_true(figures.faults[n] > 0);
}

static void the_mistake_is_found(void **state) {
    (void)state;
    for (int64_t hours = 0, seed = 1; hours < faulty_hours; hours += RUN, seed++)
        if (!hours_of_faults((uint64_t)seed)) {
            print_message("# found by seed %lld: %s\n", (long long)seed, village_wrong());
            return;
        }
    fail_msg("bug %d was not found in %lld hours", seeded_bug, (long long)faulty_hours);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_alone_leads_to_what_is_right),
        cmocka_unit_test(in_faulty_hours_it_is_mended_or_told),
        cmocka_unit_test(in_healthy_hours_nothing_is_done),
    };
    const struct CMUnitTest found[] = {cmocka_unit_test(the_mistake_is_found)};
    int64_t bug = 0;
    if ((argc > 1 && parse_integer(argv[1], 0, 1000000, &healthy_hours, NULL) != HARDY_OK) ||
        (argc > 2 && parse_integer(argv[2], 0, 1000000, &faulty_hours, NULL) != HARDY_OK) ||
        (argc > 3 && parse_integer(argv[3], 1, 100, &bug, NULL) != HARDY_OK))
        return 2;
    seeded_bug = (int)bug;
    return bug ? cmocka_run_group_tests_name("supervision-seeded", found, NULL, NULL)
               : cmocka_run_group_tests_name("supervision", tests, NULL, NULL);
}
