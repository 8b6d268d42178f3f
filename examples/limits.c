/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service that asks a model for its users. Each user may call twice at once, and then once a
 * second; all together share the model's 60,000 tokens a minute, and how many tokens a call needs
 * is known only when its answer is there.
 *
 * Time is an argument of every limit, so this needs none. Your program passes its clock's.
 */
#include <hardy/hardy.h>
#include <stdio.h>
#include <string.h>

struct service {
    hardy_keyed_limiter *users;
    hardy_limiter *tokens;
    hardy_estimate answers; /* how many tokens they have had */
};

static double seconds(int64_t time) {
    return (double)time / (double)HARDY_SECOND;
}

/* A call at `now`, of which its user waits at most five seconds for the model. `answer` is what is
 * not known before: the tokens of its answer. */
static void call(struct service *s, const char *user, double input, double answer, int64_t now) {
    hardy_reservation r;
    int64_t after;
    if (hardy_keyed_limiter_take(s->users, user, strlen(user), 1, HARDY_PRIORITY_HIGH, now,
                                 &after) != HARDY_OK) {
        printf("%4.1fs  %-5s  429, retry-after %g\n", seconds(now), user, seconds(after));
        return;
    }
    double guess = input + hardy_estimate_get(&s->answers, 500);
    if (hardy_limiter_reserve(s->tokens, guess, HARDY_PRIORITY_HIGH, now, now + 5 * HARDY_SECOND,
                              &r) != HARDY_OK) {
        printf("%4.1fs  %-5s  503, the model's limit; retry-after %.1f\n", seconds(now), user,
               seconds(r.at - now));
        return;
    }
    /* ... at r.at the model is called, and answers. A call that failed has cost 0. */
    hardy_limiter_settle(s->tokens, &r, input + answer, r.at);
    hardy_estimate_learn(&s->answers, answer);
    printf("%4.1fs  %-5s  called after %.1fs, %.0f tokens reserved, %.0f used\n", seconds(now),
           user, seconds(r.at - now), guess, input + answer);
}

int main(void) {
    struct service s = {0};
    hardy_rate_config user, tokens;
    hardy_error error;

    hardy_error_init(&error, sizeof error);
    hardy_rate_config_init(&user, sizeof user); /* one a second */
    user.burst = 2;
    hardy_rate_config_init(&tokens, sizeof tokens);
    tokens.events = 60000;
    tokens.period = HARDY_MINUTE;
    tokens.burst = 6000;
    tokens.debt = true; /* a call larger than that waits for a full bucket */
    if (hardy_keyed_limiter_new(&user, 10000, NULL, &s.users, &error) != HARDY_OK ||
        hardy_limiter_new(&tokens, &s.tokens, &error) != HARDY_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    int64_t now = 0;
    for (int i = 0; i < 3; i++) { /* the third at once is too many for ann, and not for ben */
        call(&s, "ann", 200, 300, now);
    }
    call(&s, "ben", 1000, 900, now);
    now += HARDY_SECOND;
    call(&s, "ann", 4000, 1500, now); /* more than is left: it waits */
    call(&s, "cleo", 8000, 600, now); /* more than there ever is, and five seconds are too short */
    now += 20 * HARDY_SECOND;
    call(&s, "cleo", 8000, 600, now);
    call(&s, "ben", 200, 300, now); /* stands behind that debt */
    hardy_keyed_limiter_free(s.users);
    hardy_limiter_free(s.tokens);
    return 0;
}
