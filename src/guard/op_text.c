/* SPDX-License-Identifier: Apache-2.0 */
#include <hardy/op.h>
#include <string.h>

const char *hardy_reason_text(hardy_reason reason) {
    switch (reason) {
    case HARDY_REASON_NONE:
        return "nothing to say";
    case HARDY_REASON_BACKOFF:
        return "waiting before a retry";
    case HARDY_REASON_RUNNING:
        return "waiting for an attempt";
    case HARDY_REASON_RATE:
        return "rate limit";
    case HARDY_REASON_SLOTS:
        return "concurrency slots";
    case HARDY_REASON_BREAKER:
        return "circuit breaker";
    case HARDY_REASON_BUDGET:
        return "retry budget is used up";
    case HARDY_REASON_RETRIES:
        return "retries are used up";
    case HARDY_REASON_TOTAL_WAIT:
        return "the next wait would pass max_total_wait";
    case HARDY_REASON_RETRY_AFTER:
        return "the far side asked for more time than there is";
    case HARDY_REASON_DEADLINE:
        return "deadline";
    case HARDY_REASON_TIMEOUT:
        return "an attempt was stopped at its timeout";
    case HARDY_REASON_PERMANENT:
        return "trying again would not help";
    case HARDY_REASON_NOT_REPEATABLE:
        return "not known to be repeatable";
    case HARDY_REASON_CANCELLED:
        return "cancelled";
    case HARDY_REASON_HEDGE:
        return "another attempt was faster";
    case HARDY_REASON_INSIDE:
        return "a guard inside of the attempt";
    }
    return "unknown reason";
}

void hardy_op_options_init(hardy_op_options *options, size_t size) {
    hardy_op_options full = {
        .size = size < sizeof full ? size : sizeof full, .deadline = HARDY_NEVER, .weight = 1};
    memset(options, 0, size);
    memcpy(options, &full, full.size);
}
