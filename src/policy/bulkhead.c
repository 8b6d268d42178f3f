/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While nobody waits, taking and releasing a slot is one compare-and-swap on {waiting, used}. The
 * queue belongs to the mutex, and `waiting` is changed only with it held. A release that sees
 * somebody waiting hands its slot over, `used` staying as it is, so no newcomer can slip in
 * between.
 */
#include "policy/bulkhead.h"
#include "base/error.h"
#include "base/mutex.h"

#define ONE_USED UINT64_C(1)
#define ONE_WAITING (UINT64_C(1) << 32)

enum { IDLE, QUEUED, GRANTED };

static uint32_t used(uint64_t word) {
    return (uint32_t)word;
}

static uint32_t waiting(uint64_t word) {
    return (uint32_t)(word >> 32);
}

hardy_status bulkhead_init(struct bulkhead *b, const hardy_bulkhead_config *c, hardy_error *error) {
    hardy_bulkhead_config usual;
    hardy_bulkhead_config_init(&usual, sizeof usual);
    c = c ? c : &usual;
    hardy_status status = bulkhead_check(c, error);
    if (status != HARDY_OK) {
        return status;
    }
    *b = (struct bulkhead){0};
    int errnum = pthread_mutex_init(&b->lock, NULL);
    if (errnum != 0) {
        return fail_errno(error, errnum, NULL, "cannot make the bulkhead's lock");
    }
    bulkhead_change(b, c);
    return HARDY_OK;
}

void bulkhead_destroy(struct bulkhead *b) {
    pthread_mutex_destroy(&b->lock);
}

static bool take_free(struct bulkhead *b, uint64_t *word) {
    *word = word_load(&b->word);
    while (waiting(*word) == 0 && used(*word) < word_load(&b->limit)) {
        if (word_cas(&b->word, word, *word + ONE_USED)) {
            return true;
        }
    }
    return false;
}

static void append(struct bulkhead *b, struct bulkhead_waiter *w) {
    word_store(&w->state, QUEUED);
    w->queue = b;
    w->next = NULL;
    w->prev = b->tail;
    if (b->tail) {
        b->tail->next = w;
    } else {
        b->head = w;
    }
    b->tail = w;
}

static void unlink_waiter(struct bulkhead *b, struct bulkhead_waiter *w) {
    if (w->prev) {
        w->prev->next = w->next;
    } else {
        b->head = w->next;
    }
    if (w->next) {
        w->next->prev = w->prev;
    } else {
        b->tail = w->prev;
    }
    w->next = w->prev = NULL;
}

enum bulkhead_answer bulkhead_acquire(struct bulkhead *b, struct bulkhead_waiter *w) {
    uint64_t word;
    if (take_free(b, &word)) {
        return BULKHEAD_GRANTED;
    }
    if (waiting(word) >= word_load(&b->queue)) {
        return BULKHEAD_FULL;
    }
    enum bulkhead_answer answer = BULKHEAD_GRANTED;
    mutex_lock(&b->lock);
    /* Joining the queue is a compare-and-swap too: a slot that is released meanwhile without the
     * lock makes it fail. */
    while (!take_free(b, &word)) {
        if (waiting(word) >= word_load(&b->queue)) {
            answer = BULKHEAD_FULL;
            break;
        }
        if (word_cas(&b->word, &word, word + ONE_WAITING)) {
            append(b, w);
            answer = BULKHEAD_QUEUED;
            break;
        }
    }
    mutex_unlock(&b->lock);
    return answer;
}

bool bulkhead_granted(const struct bulkhead_waiter *w) {
    if (word_load(&w->state) != GRANTED) {
        return false;
    }
    /* Who handed the slot over may not have called wake yet; with the lock free again it has. */
    mutex_lock(&w->queue->lock);
    mutex_unlock(&w->queue->lock);
    return true;
}

/* The slot, which counts as used already, goes to the first who waits. With the lock held. */
static void hand_over(struct bulkhead *b) {
    struct bulkhead_waiter *first = b->head;
    unlink_waiter(b, first);
    word_add(&b->word, -ONE_WAITING);
    void (*wake)(void *) = first->wake;
    void *ctx = first->ctx;
    word_store(&first->state, GRANTED);
    if (wake) {
        wake(ctx);
    }
}

/* With the lock held. While somebody waits, nobody else changes the word. */
static void release_locked(struct bulkhead *b) {
    if (b->head && used(word_load(&b->word)) <= word_load(&b->limit)) {
        hand_over(b);
    } else {
        word_add(&b->word, -ONE_USED);
    }
}

void bulkhead_release(struct bulkhead *b) {
    uint64_t word = word_load(&b->word);
    while (waiting(word) == 0) {
        if (word_cas(&b->word, &word, word - ONE_USED)) {
            return;
        }
    }
    mutex_lock(&b->lock);
    release_locked(b);
    mutex_unlock(&b->lock);
}

void bulkhead_leave(struct bulkhead *b, struct bulkhead_waiter *w) {
    mutex_lock(&b->lock);
    uint64_t state = word_load(&w->state);
    word_store(&w->state, IDLE);
    if (state == QUEUED) {
        unlink_waiter(b, w);
        word_add(&b->word, -ONE_WAITING);
    } else if (state == GRANTED) {
        release_locked(b);
    }
    mutex_unlock(&b->lock);
}

/* With the lock held, after one of what it comes from has changed. */
static void set_limit(struct bulkhead *b) {
    uint64_t limit = word_load(&b->slots);
    uint64_t others[] = {word_load(&b->lowered), aimd_limit(word_load(&b->adapted))};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        limit = others[i] != 0 && others[i] < limit ? others[i] : limit;
    }
    word_store(&b->limit, limit);
    while (b->head && used(word_load(&b->word)) < word_load(&b->limit)) {
        word_add(&b->word, ONE_USED);
        hand_over(b);
    }
}

void bulkhead_limit(struct bulkhead *b, uint32_t slots) {
    mutex_lock(&b->lock);
    word_store(&b->lowered, slots);
    set_limit(b);
    mutex_unlock(&b->lock);
}

void bulkhead_change(struct bulkhead *b, const hardy_bulkhead_config *c) {
    mutex_lock(&b->lock);
    uint32_t adapted = aimd_limit(word_load(&b->adapted));
    uint64_t most = c->max_concurrent;
    word_store(&b->slots, most);
    word_store(&b->queue, c->max_queue);
    word_store(&b->least, c->min_concurrent);
    if (!c->adaptive) {
        word_store(&b->adapted, 0);
    } else if (adapted < c->min_concurrent || adapted > most) {
        word_store(&b->adapted,
                   aimd_start(adapted != 0 && adapted < c->min_concurrent ? c->min_concurrent
                                                                          : c->max_concurrent));
    }
    set_limit(b);
    mutex_unlock(&b->lock);
}

uint64_t bulkhead_mark(const struct bulkhead *b) {
    return aimd_mark(&b->adapted, used(word_load(&b->word)));
}

void bulkhead_learn(struct bulkhead *b, uint64_t mark, bool dropped) {
    if (word_load(&b->adapted) != 0 &&
        aimd_learn(&b->adapted, mark, dropped, used(word_load(&b->word)),
                   (uint32_t)word_load(&b->least), (uint32_t)word_load(&b->slots))) {
        mutex_lock(&b->lock);
        set_limit(b);
        mutex_unlock(&b->lock);
    }
}

uint32_t bulkhead_limit_now(const struct bulkhead *b) {
    return (uint32_t)word_load(&b->limit);
}

void bulkhead_counts(const struct bulkhead *b, uint32_t *used_now, uint32_t *waiting_now) {
    uint64_t word = word_load(&b->word);
    *used_now = used(word);
    *waiting_now = waiting(word);
}
