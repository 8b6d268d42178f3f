/* SPDX-License-Identifier: Apache-2.0 */
/* When to look again at what does not hold yet. */
#include "base/clock.h"
#include "base/error.h"
#include "base/prng.h"
#include "policy/backoff.h"
#include "policy/settings.h"
#include <hardy/poll.h>
#include <string.h>

#define LEAST_ROOM HARDY_MILLISECOND

enum phase { PHASE_DUE, PHASE_LOOKING, PHASE_OVER };

struct poll {
    hardy_retry_config waits;
    enum phase phase;
    hardy_status status;
    hardy_look last;
    uint32_t looks;
    int64_t deadline, at; /* of the next look, or when this one began */
    int64_t longest;      /* look */
    int64_t previous;     /* wait */
    uint64_t seed;
};
_Static_assert(sizeof(struct poll) <= sizeof(hardy_poll), "hardy_poll has room");
_Static_assert(_Alignof(struct poll) <= _Alignof(hardy_poll), "and is aligned");

static struct poll *poll_of(hardy_poll *poll) {
    return (struct poll *)poll;
}

hardy_status hardy_poll_begin(hardy_poll *poll, size_t size, const hardy_poll_config *config,
                              int64_t deadline, uint64_t seed, int64_t now, hardy_error *error) {
    hardy_poll_config c;
    hardy_poll_config_init(&c, sizeof c);
    if (size != sizeof *poll) {
        return fail(error, HARDY_E_INVALID, NULL, "hardy_poll: size is %zu, which should be %zu",
                    size, sizeof *poll);
    }
    hardy_status status =
        config ? settings_take(&c, sizeof c, config, "hardy_poll_config", error) : HARDY_OK;
    if (status != HARDY_OK) {
        return status;
    }
    struct poll p = {.phase = PHASE_DUE, .deadline = deadline, .at = now, .seed = seed};
    status = poll_waits(&c, &p.waits, error);
    if (status == HARDY_OK) {
        memset(poll, 0, sizeof *poll);
        memcpy(poll, &p, sizeof p);
    }
    return status;
}

static void end(struct poll *p, hardy_status status) {
    p->phase = PHASE_OVER;
    p->status = status;
}

hardy_poll_step hardy_poll_next(hardy_poll *poll, int64_t now) {
    struct poll *p = poll_of(poll);
    if (p->phase != PHASE_OVER && now >= p->deadline) {
        end(p, HARDY_E_DEADLINE);
    }
    hardy_poll_step step = {.kind = HARDY_POLL_WAIT, .until = p->deadline, .deadline = p->deadline};
    if (p->phase == PHASE_OVER) {
        step.kind = HARDY_POLL_DONE;
        step.status = p->status;
    } else if (p->phase == PHASE_DUE && now < p->at) {
        step.until = p->at;
    } else if (p->phase == PHASE_DUE) {
        p->phase = PHASE_LOOKING;
        p->at = now;
        p->looks += p->looks < UINT32_MAX;
        step.kind = HARDY_POLL_LOOK;
    }
    step.looks = p->looks;
    step.last = p->last;
    return step;
}

static void look_later(struct poll *p, int64_t floor, int64_t now) {
    uint64_t random = prng_mix(p->seed ^ prng_mix(p->looks));
    int64_t wait = hardy_backoff(&p->waits, p->looks - 1, p->previous, random);
    int64_t soonest = time_add(now, floor);
    p->previous = wait;
    p->phase = PHASE_DUE;
    p->at = time_add(soonest, wait);
    if (p->deadline == HARDY_NEVER) {
        return;
    }
    /* The answers take as long as they do: what is asked too late is given up unheard. */
    int64_t room = p->longest > LEAST_ROOM / 2 ? time_add(p->longest, p->longest) : LEAST_ROOM;
    int64_t last = p->deadline - room;
    if (last <= now || last < soonest) {
        end(p, HARDY_E_DEADLINE);
    } else if (p->at > last) {
        p->at = last;
    }
}

void hardy_poll_report(hardy_poll *poll, hardy_look found, int64_t retry_after, int64_t now) {
    struct poll *p = poll_of(poll);
    if (p->phase != PHASE_LOOKING) {
        return;
    }
    p->last = found;
    p->longest = now - p->at > p->longest ? now - p->at : p->longest;
    if (found == HARDY_LOOK_HOLDS) {
        end(p, HARDY_OK);
    } else if (found == HARDY_LOOK_FAILED) {
        end(p, HARDY_E_FAILED);
    } else {
        look_later(p, retry_after > 0 ? retry_after : 0, now);
    }
}
