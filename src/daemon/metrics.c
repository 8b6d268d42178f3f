/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "daemon/inside.h"
#include "http/problem.h"
#include "io/file.h"
#include "observe/exposition.h"
#include <stdio.h>
#include <unistd.h>

#define METRICS_MAX ((size_t)8 << 20)

/* Bytes of memory in use; negative when the kernel does not say. */
static double resident_memory(void) {
    struct buf text;
    unsigned long long all, resident;
    buf_init(&text, 256);
    double bytes = -1;
    if (file_read("/proc/self/statm", &text, NULL) == HARDY_OK && text.data &&
        sscanf(text.data, "%llu %llu", &all, &resident) == 2) {
        bytes = (double)resident * (double)sysconf(_SC_PAGESIZE);
    }
    buf_free(&text);
    return bytes;
}

static void write_process(const struct daemon *d, struct exposition *x) {
    double memory = resident_memory();
    exposition_family(x, "hardy_build_info", "gauge", "1; the version is in the label");
    exposition_sample(x, "hardy_build_info", 1, "version", HARDY_VERSION, NULL);
    if (memory >= 0) {
        exposition_family(x, "process_resident_memory_bytes", "gauge", "Memory in use");
        exposition_sample(x, "process_resident_memory_bytes", memory, NULL);
    }
    exposition_family(x, "process_start_time_seconds", "gauge", "When it was started");
    exposition_sample(x, "process_start_time_seconds",
                      (double)(d->started_wall / HARDY_MILLISECOND) / 1000, NULL);
}

static void write_health(const struct daemon *d, struct exposition *x) {
    const struct check_settings *checks = d->checks.items;
    if (!d->health || d->checks.count == 0) {
        return;
    }
    exposition_family(x, "hardy_check_up", "gauge", "1 while the check is up, else 0");
    for (size_t i = 0; i < d->checks.count; i++) {
        const struct check_state *state = health_find(d->health, checks[i].name, NULL);
        exposition_sample(x, "hardy_check_up", state && state->level == LEVEL_UP, "check",
                          checks[i].name, NULL);
    }
}

void metrics_answer(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct buf text;
    struct exposition x;
    buf_init(&text, METRICS_MAX);
    exposition_begin(&x, &text);
    write_process(d, &x);
    write_health(d, &x);
    gateway_write_metrics(d->gateway, &x);
    if (text.failed) { /* half a page would look like metrics that have gone */
        http_problem(r, 503, NULL, NULL, NULL, "no memory for the metrics");
    } else {
        admin_answer(r, 200, EXPOSITION_TYPE, &text);
    }
    buf_free(&text);
}
