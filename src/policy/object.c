/* SPDX-License-Identifier: Apache-2.0 */
/* The breaker as an object of its own: words in memory, with their settings. */
#include "policy/object.h"
#include "base/error.h"
#include "policy/breaker.h"
#include "policy/breaker_plain.h"
#include "policy/settings.h"
#include <stdlib.h>
#include <string.h>

struct hardy_breaker {
    struct breaker_words words;
    hardy_breaker_config config;
};

void *object_allocate(size_t size, const char *what, hardy_error *error) {
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
    if (memory) {
        memset(memory, 0, size);
    } else {
        fail(error, HARDY_E_NOMEM, NULL, "out of memory for a %s", what);
    }
    return memory;
}

hardy_status hardy_breaker_new(const hardy_breaker_config *config, hardy_breaker **out,
                               hardy_error *error) {
    hardy_breaker_config full;
    hardy_breaker_config_init(&full, sizeof full);
    hardy_status status = settings_take(&full, sizeof full, config, "hardy_breaker_config", error);
    if (status == HARDY_OK) {
        status = breaker_check(&full, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    hardy_breaker *breaker = object_allocate(sizeof *breaker, "breaker", error);
    if (!breaker) {
        return HARDY_E_NOMEM;
    }
    breaker->config = full;
    *out = breaker;
    return HARDY_OK;
}

void hardy_breaker_free(hardy_breaker *breaker) {
    free(breaker);
}

hardy_status hardy_breaker_acquire(hardy_breaker *breaker, int64_t now, hardy_permit *permit,
                                   int64_t *retry_after) {
    int64_t retry_at = now;
    if (breaker_acquire_plain(&breaker->words, &breaker->config, now, permit) ||
        breaker_acquire(&breaker->words, &breaker->config, now, 0, permit, &retry_at, NULL)) {
        return HARDY_OK;
    }
    if (retry_after) {
        *retry_after = retry_at == HARDY_NEVER ? HARDY_NEVER : retry_at > now ? retry_at - now : 0;
    }
    return HARDY_E_OPEN;
}

void hardy_breaker_record(hardy_breaker *breaker, hardy_permit *permit, hardy_outcome_class outcome,
                          int64_t now) {
    if (!breaker_record_plain(&breaker->words, &breaker->config, permit, outcome)) {
        breaker_record(&breaker->words, &breaker->config, permit, outcome, now, NULL);
    }
}

void hardy_breaker_progress(hardy_breaker *breaker, hardy_permit *permit, int64_t now) {
    breaker_progress(&breaker->words, &breaker->config, permit, now);
}

void hardy_breaker_force(hardy_breaker *breaker, hardy_breaker_state state, int64_t until,
                         int64_t now) {
    breaker_force(&breaker->words, state, until, now);
}

size_t hardy_breaker_snapshot(const hardy_breaker *breaker, int64_t now, void *bytes, size_t size) {
    if (size >= BREAKER_SNAPSHOT) {
        breaker_save(&breaker->words, &breaker->config, now, bytes);
    }
    return BREAKER_SNAPSHOT;
}

hardy_status hardy_breaker_restore(hardy_breaker *breaker, const void *bytes, size_t length,
                                   int64_t elapsed, int64_t now, hardy_error *error) {
    return breaker_restore(&breaker->words, &breaker->config, bytes, length, elapsed, now, error);
}

void hardy_breaker_get_stats(const hardy_breaker *breaker, int64_t now,
                             hardy_breaker_stats *stats) {
    hardy_breaker *b = (hardy_breaker *)(uintptr_t)breaker; /* to tell it makes it so */
    hardy_breaker_stats full;
    breaker_settle(&b->words, &b->config, now, NULL);
    breaker_stats(&breaker->words, &breaker->config, now, &full);
    size_t size = stats->size && stats->size < sizeof full ? stats->size : sizeof full;
    full.size = size;
    memcpy(stats, &full, size);
}

const char *hardy_breaker_state_name(hardy_breaker_state state) {
    switch (state) {
    case HARDY_CLOSED:
        return "closed";
    case HARDY_HALF_OPEN:
        return "half_open";
    case HARDY_OPEN:
        return "open";
    case HARDY_FORCED_OPEN:
        return "forced_open";
    case HARDY_DISABLED:
        return "disabled";
    }
    return "unknown";
}
