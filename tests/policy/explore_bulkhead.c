/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency slots: two threads under every schedule where that is possible, three with bounded
 * preemptions. A caller that ends, ends for good: a wake that comes afterwards is a breach. */
#include "explore.h"
#include "policy/bulkhead.h"
#include <string.h>

struct caller {
    struct bulkhead_waiter waiter;
    bool alive, woken;
};

static struct bulkhead slots;
static struct caller callers[EXPLORE_THREADS];
static uint64_t mark;
static uint32_t inside, allowed, served, refused, left;

static void fresh(uint32_t max_concurrent, uint32_t max_queue) {
    hardy_bulkhead_config c;
    hardy_bulkhead_config_init(&c, sizeof c);
    c.max_concurrent = max_concurrent;
    c.max_queue = max_queue;
    explore_expect(bulkhead_init(&slots, &c, NULL) == HARDY_OK, "settings");
    memset(callers, 0, sizeof callers);
    inside = served = refused = left = 0;
    allowed = max_concurrent;
}

static void wake(void *ctx) {
    struct caller *c = ctx;
    explore_look();
    explore_expect(c->alive, "woken after its end");
    explore_expect(!c->woken, "woken twice");
    c->woken = true;
}

static bool is_woken(const void *ctx) {
    return ((const struct caller *)ctx)->woken;
}

static void use_slot(void) {
    explore_look();
    inside++;
    explore_expect(inside <= allowed, "more inside than there are slots");
    explore_look();
    inside--;
    served++;
    bulkhead_release(&slots);
}

static enum bulkhead_answer ask(struct caller *c) {
    *c = (struct caller){.waiter = {.wake = wake, .ctx = c}, .alive = true};
    return bulkhead_acquire(&slots, &c->waiter);
}

static void end(struct caller *c) {
    c->alive = false;
}

/* Waits its turn, as long as it takes. */
static void patient(struct caller *c) {
    enum bulkhead_answer answer = ask(c);
    if (answer == BULKHEAD_QUEUED) {
        explore_wait(is_woken, c);
        explore_expect(bulkhead_granted(&c->waiter), "woken without a slot");
    }
    end(c);
    if (answer == BULKHEAD_FULL) {
        refused++;
    } else {
        use_slot();
    }
}

/* Looks once, and leaves when it has to wait on; it may be granted its slot in that very moment. */
static void hasty(struct caller *c) {
    enum bulkhead_answer answer = ask(c);
    bool granted = answer == BULKHEAD_GRANTED;
    if (answer == BULKHEAD_QUEUED) {
        granted = bulkhead_granted(&c->waiter);
        if (!granted) {
            bulkhead_leave(&slots, &c->waiter);
        }
    }
    end(c);
    if (granted) {
        use_slot();
    } else {
        left++;
    }
}

static void patient_a(void) {
    patient(&callers[0]);
}
static void patient_b(void) {
    patient(&callers[1]);
}
static void patient_c(void) {
    patient(&callers[2]);
}
static void hasty_b(void) {
    hasty(&callers[1]);
}
static void hasty_c(void) {
    hasty(&callers[2]);
}

static void lower_and_lift(void) {
    bulkhead_limit(&slots, 1);
    bulkhead_limit(&slots, 0);
}
static void release_two(void) {
    bulkhead_release(&slots);
    bulkhead_release(&slots);
}
static void lift(void) {
    bulkhead_limit(&slots, 0);
}

static void one_slot(void) {
    fresh(1, 4);
}
static void two_slots(void) {
    fresh(2, 4);
}
static void one_slot_one_place(void) {
    fresh(1, 1);
}
/* One is held to the end, and the other not to be had. */
static void one_held_and_lowered(void) {
    fresh(2, 4);
    explore_expect(ask(&callers[0]) == BULKHEAD_GRANTED, "no free slot");
    bulkhead_limit(&slots, 1);
}
/* Both are held, and one of them is one too many now. */
static void two_held_and_lowered(void) {
    fresh(2, 4);
    bool both = ask(&callers[0]) == BULKHEAD_GRANTED && ask(&callers[0]) == BULKHEAD_GRANTED;
    explore_expect(both, "no free slots");
    bulkhead_limit(&slots, 1);
    allowed = 1;
}
static void one_slot_no_queue(void) {
    fresh(1, 0);
}

/* Adaptive, ten at once, all taken; `word` is what it has learned so far. */
static void adaptive(uint32_t limit) {
    hardy_bulkhead_config c;
    hardy_bulkhead_config_init(&c, sizeof c);
    c.max_concurrent = 10;
    c.adaptive = true;
    explore_expect(bulkhead_init(&slots, &c, NULL) == HARDY_OK, "settings");
    memset(callers, 0, sizeof callers);
    for (uint32_t i = 0; i < limit; i++) {
        explore_expect(ask(&callers[0]) == BULKHEAD_GRANTED, "no free slot");
    }
    word_store(&slots.adapted, aimd_start(limit));
    bulkhead_limit(&slots, 0);
    mark = bulkhead_mark(&slots);
}
static void ten_under_way(void) {
    adaptive(10);
}
static void three_under_way(void) {
    adaptive(3);
}
/* One more success makes it four. */
static void nearly_four(void) {
    adaptive(3);
    bulkhead_learn(&slots, mark, false);
    bulkhead_learn(&slots, mark, false);
}
static void succeed(void) {
    bulkhead_learn(&slots, mark, false);
}
static void be_dropped(void) {
    bulkhead_learn(&slots, mark, true);
}
static void limit_is(uint32_t expected) {
    explore_expect(aimd_limit(word_load(&slots.adapted)) == expected, "learned something else");
    explore_expect(bulkhead_limit_now(&slots) == expected, "the limit is not what was learned");
}
static void lowered_once(void) {
    limit_is(7);
}
static void raised_once(void) {
    limit_is(4);
}
static void as_learned(void) {
    limit_is(aimd_limit(word_load(&slots.adapted)));
}

static void nothing_left_over(void) {
    uint32_t used, waiting;
    bulkhead_counts(&slots, &used, &waiting);
    explore_expect(used == 0, "a slot is still taken");
    explore_expect(waiting == 0, "somebody is still counted as waiting");
    explore_expect(!slots.head && !slots.tail, "somebody is still in the queue");
}
static void one_served_beside_one(void) {
    bulkhead_release(&slots);
    nothing_left_over();
    explore_expect(served == 1, "somebody got lost");
}
static void two_served(void) {
    nothing_left_over();
    explore_expect(served == 2, "not everybody was served");
}
static void three_served(void) {
    nothing_left_over();
    explore_expect(served == 3, "not everybody was served");
}
static void served_or_refused(void) {
    nothing_left_over();
    explore_expect(served + refused + left == 3 && served >= 1, "somebody got lost");
}
static void two_served_or_left(void) {
    nothing_left_over();
    explore_expect(served + refused + left == 2 && served >= 1, "somebody got lost");
}

const struct scenario bulkhead_scenarios[] = {
    {"bulkhead: two callers, no queue",
     EXPLORE_ALL,
     one_slot_no_queue,
     {patient_a, patient_b},
     two_served_or_left},
    {"bulkhead: two callers take turns", EXPLORE_ALL, one_slot, {patient_a, patient_b}, two_served},
    {"bulkhead: one of two gives up",
     EXPLORE_ALL,
     one_slot,
     {patient_a, hasty_b},
     two_served_or_left},
    {"bulkhead: three callers take turns",
     3,
     one_slot,
     {patient_a, patient_b, patient_c},
     three_served},
    {"bulkhead: three callers, two slots",
     3,
     two_slots,
     {patient_a, patient_b, patient_c},
     three_served},
    {"bulkhead: a queue of one",
     3,
     one_slot_one_place,
     {patient_a, patient_b, patient_c},
     served_or_refused},
    {"bulkhead: one of three gives up",
     3,
     one_slot,
     {patient_a, patient_b, hasty_c},
     served_or_refused},
    {"bulkhead: two of three give up",
     3,
     one_slot,
     {patient_a, hasty_b, hasty_c},
     served_or_refused},
    {"bulkhead: lowered and lifted between two callers",
     3,
     two_slots,
     {patient_a, patient_b, lower_and_lift},
     two_served},
    {"bulkhead: lifted, so that one who waits gets what is free",
     EXPLORE_ALL,
     one_held_and_lowered,
     {patient_b, lift},
     one_served_beside_one},
    {"bulkhead: two wait for two slots that have become one",
     3,
     two_held_and_lowered,
     {release_two, patient_b, patient_c},
     two_served},
    {"bulkhead: a success and a drop that both change the limit",
     EXPLORE_ALL,
     nearly_four,
     {succeed, be_dropped},
     as_learned},
    {"aimd: two drops of the same round trip",
     EXPLORE_ALL,
     ten_under_way,
     {be_dropped, be_dropped},
     lowered_once},
    {"aimd: three successes for one more",
     EXPLORE_ALL,
     three_under_way,
     {succeed, succeed, succeed},
     raised_once},
    {0},
};
