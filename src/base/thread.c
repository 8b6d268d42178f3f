/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"
#include "base/atomic.h"
#include "base/prng.h"

THREAD_FAST_LOCAL unsigned thread_number_known;

unsigned thread_number_draw(void) {
    static atomic_word next;
    /* The loader puts `next` somewhere else in each process. */
    unsigned start = (unsigned)prng_mix((uint64_t)(uintptr_t)&next);
    unsigned number = start + (unsigned)word_add(&next, 1);
    thread_number_known = number ? number : 1;
    return thread_number_known;
}
