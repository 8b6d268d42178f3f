/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate limit and the floor that low priority has under it, for spin (spin.sh runs it): callers
 * that come at any moment, are told a time that is over when they use it, wait for their turn, and
 * use what they have reserved, give it back, or have it cost nothing. The explorer runs the code
 * itself under all orders of three threads; this is the protocol of src/policy/gcra.c, written down
 * a second time by hand.
 *
 * One event a tick, a burst of BURST, of which high priority leaves one to the floor: one event in
 * FLOOR ticks. An atomic step is one operation on one word; reading a word and replacing it if
 * nobody else has in between, again and again until it works, is one step as well.
 *
 * What must hold:
 *   - in no window more is used than its ticks and BURST, and what was settled below its estimate
 *   - the floor lets through one event in FLOOR ticks, and no second one before
 *   - nothing that was given back is lost, and nothing is given back twice: while no time passes,
 *     the words are what was taken
 *
 * Each BUG_ is a mistake that spin has to find.
 */
#define CALLERS 2
#define TURNS 2 /* with three callers it holds as well, in 52 million states */
#define BURST 2
#define FLOOR 2
#define LAST_TICK 2
#define TIMES (LAST_TICK + 2) /* of use */

byte now, arrival, low_arrival;

/* What is only looked at. */
byte used[TIMES], by_floor[TIMES], in_arrival, in_floor, settled, ended;

inline forget() {
    t = 0; at = 0; next = 0; mark = 0; floor_mark = 0; granted = false
}

/* When it may be used, and what becomes of the word then. */
inline slot(word, span, ahead, latest) {
    next = (word > t -> word : t) + span;
    at = (next > (ahead) + t -> next - (ahead) : t);
    granted = at <= (latest)
}

/* `count` is what the word stands for. */
inline reserve(word, span, ahead, latest, its_mark, count) {
#ifdef BUG_a_word_loaded_then_stored
    d_step { slot(word, span, ahead, latest) };
    d_step {
        if
        :: granted -> word = next; its_mark = next; count = count + 1
        :: else
        fi
    }
#else
    d_step {
        slot(word, span, ahead, latest);
        if
        :: granted -> word = next; its_mark = next; count = count + 1
        :: else
        fi
    }
#endif
}

/* Not used: given back, if nobody has reserved since. */
inline give_back(word, span, its_mark, count) {
    d_step {
        if
#ifdef BUG_returned_though_others_followed
        :: word >= span -> word = word - span; count = count - 1
#else
        :: word == its_mark -> word = word - span; count = count - 1
#endif
        :: else
        fi
    }
}

/* Used, and has cost nothing. */
inline settle_to_nothing() {
    d_step {
        arrival = (arrival > t -> arrival : t);
        arrival = (arrival > 0 -> arrival - 1 : 0);
        in_arrival = in_arrival - 1;
        settled++
    }
}

inline high() {
    /* He can wait for a tick. */
    reserve(arrival, 1, BURST - 1, t + 1, mark, in_arrival);
    if
    :: granted ->
        if
        :: used[at] = used[at] + 1
        :: true -> give_back(arrival, 1, mark, in_arrival)
        :: true -> settle_to_nothing()
        fi
    :: else
    fi
}

inline low() {
    reserve(arrival, 1, BURST / 2, t, mark, in_arrival);
    if
    :: granted -> used[at] = used[at] + 1
    :: else ->
        reserve(low_arrival, FLOOR, FLOOR, t, floor_mark, in_floor);
        if
        :: granted ->
            reserve(arrival, 1, BURST, t, mark, in_arrival);
            if
            :: granted -> d_step { used[t] = used[t] + 1; by_floor[t] = by_floor[t] + 1 }
            :: else ->
#ifndef BUG_a_floor_that_is_kept
                give_back(low_arrival, FLOOR, floor_mark, in_floor)
#else
                in_floor = in_floor - 1
#endif
            fi
        :: else
        fi
    fi
}

proctype caller() {
    byte t, at, next, mark, floor_mark, turn;
    bool granted;
    do
    :: turn < TURNS ->
        turn++;
        t = now; /* and then any time passes */
        if
        :: true -> high()
        :: true -> low()
        :: break
        fi;
        atomic { forget() }
    :: else -> break
    od;
    atomic { forget(); turn = 0; ended++ }
}

/* No window of `events` has more than its ticks allow and `at_once`. */
#define CHECK(events, ticks, at_once)                                                              \
    from = 0;                                                                                      \
    do                                                                                             \
    :: from < TIMES ->                                                                             \
        sum = 0;                                                                                   \
        to = from;                                                                                 \
        do                                                                                         \
        :: to < TIMES ->                                                                           \
            sum = sum + events[to];                                                                \
            assert(sum * ticks <= to - from + (at_once) * ticks);                                  \
            to++                                                                                   \
        :: else -> break                                                                           \
        od;                                                                                        \
        from++                                                                                     \
    :: else -> break                                                                               \
    od

init {
    byte from, to, sum, i;
    atomic {
        do
        :: i < CALLERS -> run caller(); i++
        :: else -> break
        od
    };
    do
    :: now < LAST_TICK -> now++
    :: ended == CALLERS -> break
    od;
    atomic {
        CHECK(used, 1, BURST + settled);
        CHECK(by_floor, FLOOR, 1);
        assert(now > 0 || (arrival == in_arrival && low_arrival == FLOOR * in_floor))
    }
}
