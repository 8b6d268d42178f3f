/* SPDX-License-Identifier: Apache-2.0 */
/* A function under a guard: retried with backoff and jitter, within a budget, behind a breaker. */
#include <hardy/hardy.h>
#include <stdio.h>

/* The far side is away twice, then it answers. */
static void ask(void *answer, const hardy_call *call, hardy_outcome *outcome) {
    if (call->attempt < 3)
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    else
        *(int *)answer = 42;
}

int main(void) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    hardy_guard *guard;
    hardy_error error;
    int answer = 0;

    hardy_error_init(&error, sizeof error);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    retry.base_delay = 10 * HARDY_MILLISECOND;
    config.name = "example";
    config.retry = &retry;
    config.breaker = &breaker;
    if (hardy_guard_new(&config, NULL, &guard, &error) != HARDY_OK ||
        hardy_guard_run(guard, ask, &answer, HARDY_NEVER, NULL, &error) != HARDY_OK) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        return 1;
    }
    printf("the answer is %d\n", answer);
    hardy_guard_free(guard);
    return 0;
}
