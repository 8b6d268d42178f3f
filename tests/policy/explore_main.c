/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs all scenarios and prints TAP. With --must-find NAME it was linked with a policy that a bug
 * was put into: then finding it is the success.
 */
#include "explore.h"
#include <stdio.h>
#include <string.h>

static const struct scenario *const lists[] = {breaker_window_scenarios, breaker_scenarios,
                                               limit_scenarios, bulkhead_scenarios,
                                               edition_scenarios};
#define LISTS (sizeof lists / sizeof lists[0])

static int must_hold(void) {
    int number = 0, failed = 0;
    unsigned long schedules = 0;
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct scenario *s = lists[i]; s->name; s++) {
            struct exploration e;
            explore(s, &e);
            schedules += e.schedules;
            failed += e.breach != NULL;
            printf("%sok %d - %s\n", e.breach ? "not " : "", ++number, s->name);
            printf("# %lu schedules, up to %u choices, ", e.schedules, e.longest);
            if (s->preemptions == EXPLORE_ALL) {
                printf("%lu left out\n", e.left_out);
            } else {
                printf("at most %d preemptions\n", s->preemptions);
            }
            fflush(stdout);
            if (e.breach) {
                printf("# %s\n# schedule %s\n", e.breach, e.schedule);
            }
        }
    }
    printf("1..%d\n# %lu schedules explored\n", number, schedules);
    return failed ? 1 : 0;
}

static int must_find(const char *policy, const char *name) {
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct scenario *s = lists[i]; s->name; s++) {
            struct exploration e;
            if (strncmp(s->name, policy, strlen(policy)) != 0) {
                continue;
            }
            explore(s, &e);
            if (e.breach) {
                printf("1..1\nok 1 - finds: %s\n# in schedule %lu of \"%s\": %s\n# %s\n", name,
                       e.schedules, s->name, e.breach, e.schedule);
                return 0;
            }
        }
    }
    printf("1..1\nnot ok 1 - finds: %s\n", name);
    return 1;
}

int main(int argc, char **argv) {
    return argc == 4 && strcmp(argv[1], "--must-find") == 0 ? must_find(argv[2], argv[3])
                                                            : must_hold();
}
