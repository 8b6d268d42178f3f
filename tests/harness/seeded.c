/* SPDX-License-Identifier: Apache-2.0 */
/* One bug per word, for test_sanitizers.sh: a sanitizer that does not stop here proves nothing. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int shared;

static void *add(void *unused) {
    for (int i = 0; i < 100000; i++) {
        shared = shared + 1;
    }
    return unused;
}

static void race(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, add, NULL) != 0) {
        return;
    }
    add(NULL);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    const char *bug = argc == 2 ? argv[1] : "";
    /* Volatile: the compiler must not see the bug, or it removes it. */
    volatile int size = argc + 6;
    if (strcmp(bug, "overflow") == 0) {
        volatile char *block = malloc((size_t)size);
        if (block != NULL) {
            block[size] = 1;
        }
    } else if (strcmp(bug, "leak") == 0) {
        char *volatile block = malloc((size_t)size);
        if (block != NULL) {
            block[0] = 1;
        }
        block = NULL;
    } else if (strcmp(bug, "shift") == 0) {
        printf("%d\n", 1 << (size * 8));
    } else if (strcmp(bug, "race") == 0) {
        race();
    } else {
        fprintf(stderr, "usage: seeded overflow|leak|shift|race\n");
        return 2;
    }
    return 0;
}
