/* SPDX-License-Identifier: Apache-2.0 */
#include "stores.h"
#include "../cmocka_all.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[96];

static int64_t read_wall(void *ctx) {
    return *(int64_t *)ctx;
}

static struct store *open_store(enum store_kind kind, int64_t *wall) {
    struct store *store = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct store_options options = {.path = kind == ON_SQLITE ? path : NULL,
                                    .create = true,
                                    .wall = read_wall,
                                    .wall_ctx = wall};
    if (store_open(&options, &store, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return store;
}

struct store *stores_open(enum store_kind kind, int64_t *wall) {
    snprintf(folder, sizeof folder, "/tmp/hardy-stores.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/hardy.db", folder);
    return open_store(kind, wall);
}

struct store *stores_reopen(enum store_kind kind, struct store *store, int64_t *wall) {
    if (kind == IN_MEMORY) {
        return store;
    }
    store_close(store);
    return open_store(kind, wall);
}

void stores_close(struct store *store) {
    static const char *const endings[] = {"", "-wal", "-shm", "-lock", "-journal"};
    store_close(store);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char name[120];
        snprintf(name, sizeof name, "%s%s", path, endings[i]);
        unlink(name);
    }
    rmdir(folder);
}
