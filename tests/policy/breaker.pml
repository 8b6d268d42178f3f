/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The breaker's decision and its trials, for spin (spin.sh runs it): callers that come at any
 * moment, trials that hang, verdicts that come late or twice, and time that passes between any two
 * steps. The explorer runs the code itself under all orders of two threads; this is the protocol of
 * src/policy/breaker.c, written down a second time by hand.
 *
 * `state, gen, won, until` are the decision's word, `slot[]` the words of the trials. An atomic step
 * is one operation on one word and what the thread makes of it alone; reading a word and replacing
 * it if nobody else has in between, again and again until it works, is one step as well. All of them
 * are sequentially consistent in the code (base/atomic.h), so the orders of steps are all there is.
 *
 * What must hold:
 *   - at most SLOTS trials of one half-open breaker are under way whose lease has not ended
 *   - no trial is let through a breaker that is not half open any more
 *   - a verdict counts once, and only from the holder of a lease that nobody else has got
 *   - a trial keeps its slot until its lease ends, so its verdict is not lost
 *   - a call admitted before the breaker moved on changes nothing
 *   - whatever hangs, half open is left: who comes when the leases have ended is let through, and
 *     NEEDED successes close it
 *
 * Each BUG_ is a mistake that spin has to find.
 */
#define CALLERS 2
#define SLOTS 2
#define NEEDED 2
#define RECOVERY 1
#define LEASE 1
#define LAST_TICK 1

#define CLOSED 0
#define HALF_OPEN 1
#define OPEN 2

#define IGNORED 0
#define SUCCESS 1
#define FAILURE 2

byte now;
byte state = OPEN, gen = 1, won, until; /* it has been open for long enough */

typedef place {
    bool taken;
    byte gen, seq, lease
};
place slot[SLOTS];

/* What is only looked at: each caller's trial, 0 = none; callers that have ended. */
byte lease_gen[CALLERS + 1], lease_end[CALLERS + 1], ended;
#define UNDER_WAY(caller) (lease_gen[caller] == gen && lease_end[caller] > now)

/* A caller's own variables: the time it was told, the generation it has read, the slot it has read. */
#define OWN                                                                                        \
    byte t, g, i, seq, sgen, lease, verdict;                                                       \
    bool taken, twice
/* What means nothing any more must not make two states of one. */
#define FORGET                                                                                     \
    t = 0; g = 0; i = 0; seq = 0; sgen = 0; lease = 0; verdict = 0; taken = false; twice = false

#define READ_SLOT                                                                                  \
    taken = slot[i].taken; sgen = slot[i].gen; seq = slot[i].seq; lease = slot[i].lease
#define SAME_SLOT                                                                                  \
    (taken == slot[i].taken && sgen == slot[i].gen && seq == slot[i].seq && lease == slot[i].lease)

#ifdef BUG_lease_without_end
#define SLOT_FREE (!taken || sgen != g)
#else
#define SLOT_FREE (!taken || sgen != g || t >= lease)
#endif

/* Ends at one of the labels admitted, call and refused. */
inline acquire() {
    skip;
look:
    atomic {
        if
        :: state == OPEN && t >= until -> state = HALF_OPEN; gen++; won = 0; until = 0
        :: else
        fi;
        g = gen;
        i = 0;
        if
        :: state == CLOSED -> goto call
        :: state == OPEN -> goto refused
        :: state == HALF_OPEN -> skip
        fi
    }
one:
    atomic {
        READ_SLOT;
        if
        :: !SLOT_FREE && i + 1 < SLOTS -> i++; goto one
        :: !SLOT_FREE && i + 1 == SLOTS -> goto refused
        :: SLOT_FREE && sgen == g -> goto take
        :: SLOT_FREE && sgen != g -> skip
        fi
    }
#ifndef BUG_newer_slot_taken
    atomic {
        if
        :: gen != g -> goto look
        :: else
        fi
    }
#endif
take:
    atomic {
        if
        :: SAME_SLOT ->
            taken = true;
            sgen = g;
            seq++;
            lease = t + LEASE;
            slot[i].taken = taken;
            slot[i].gen = sgen;
            slot[i].seq = seq;
            slot[i].lease = lease
        :: else -> goto one
        fi
    }
    atomic { /* the second look */
        if
#ifdef BUG_no_second_look
        :: true ->
#else
        :: state == HALF_OPEN && gen == g ->
#endif
            assert(state == HALF_OPEN && gen == g);
            lease_gen[me] = g;
            lease_end[me] = lease;
            assert(UNDER_WAY(0) + UNDER_WAY(1) + UNDER_WAY(CALLERS) <= SLOTS);
            goto admitted
#ifndef BUG_no_second_look
        :: else
#endif
        fi
    }
    atomic { /* given back, unless it is another's by now */
        if
        :: SAME_SLOT -> slot[i].taken = false
        :: else
        fi;
        goto look
    }
}

/* May end at the label done. */
inline record_trial() {
    atomic {
        if
        :: SAME_SLOT -> slot[i].taken = false
#ifdef BUG_lost_lease_counts
        :: else
#else
        :: else ->
            assert(twice || !UNDER_WAY(me));
            lease_gen[me] = 0;
            goto done
#endif
        fi;
        /* It was this trial's, nobody else has got it, and this is the first verdict. */
        assert(lease_gen[me] == sgen);
        lease_gen[me] = 0;
        if
        :: verdict == IGNORED -> goto done
        :: else
        fi
    }
    atomic {
        t = now;
        if
        :: state != HALF_OPEN || gen != sgen -> skip
        :: else ->
            if
            :: verdict == FAILURE -> state = OPEN; gen++; won = 0; until = t + RECOVERY
            :: verdict == SUCCESS && won + 1 < NEEDED -> won++
            :: verdict == SUCCESS && won + 1 == NEEDED -> state = CLOSED; gen++; won = 0
            fi
        fi
    }
}

/* An ordinary call of generation sgen has failed; one failure is enough to open it here. */
inline record_failed_call() {
    atomic {
        t = now;
        if
#ifdef BUG_late_failure_counts
        :: state != OPEN ->
#else
        :: state == CLOSED && gen == sgen ->
#endif
            assert(gen == sgen);
            state = OPEN;
            gen++;
            won = 0;
            until = t + RECOVERY
        :: else
        fi
    }
}

proctype caller(byte me, rounds) {
    OWN;
next:
    atomic {
        FORGET;
        if
        :: rounds == 0 -> goto over
        :: else -> rounds--; t = now
        fi
    }
    acquire();
admitted:
    atomic {
        t = 0;
        if
        :: verdict = IGNORED /* the permit comes back, and nothing is learned */
        :: verdict = SUCCESS
        :: verdict = FAILURE
        :: goto over /* it hangs for ever */
        fi
    }
again:
    record_trial();
done:
    atomic {
        if
        :: !twice -> twice = true; goto again /* with a copy of the permit */
        :: true -> goto next
        fi
    }
call:
    sgen = g;
    record_failed_call();
refused:
    goto next;
over:
    atomic { FORGET; ended++ }
}

/* Admitted while it was closed, before it opened. */
proctype late() {
    OWN;
    record_failed_call();
    atomic { FORGET; ended++ }
}

proctype clock() {
end:
    do
    :: atomic { now < LAST_TICK -> now++ }
    od
}

/* When all is over and each lease has ended, one who comes is let through, and closes it. */
proctype last() {
    OWN;
    byte me = CALLERS, calls;
    atomic {
        ended == CALLERS + 1;
        now = LAST_TICK + LEASE + RECOVERY;
next:
        FORGET;
        t = now;
        if
        :: state == CLOSED -> goto over
        :: else -> assert(calls < NEEDED); calls++
        fi;
        acquire();
admitted:
        verdict = SUCCESS;
        record_trial();
done:
        goto next;
call:
refused:
        assert(false)
    }
over:
    skip
}

init {
    atomic {
        run caller(0, 2);
        run caller(1, 1);
        run late();
        run clock();
        run last()
    }
}
