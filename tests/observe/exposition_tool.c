/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a page of metrics with what is hard about them, for a real reader. */
#include "observe/exposition.h"
#include <math.h>
#include <stdio.h>

int main(void) {
    static const double bounds[] = {0.005, 0.1, 1, 2.5, 60};
    static const double values[] = {0, 0.003, 0.1, 7, 1e9, 1.0 / 3};
    struct histogram h, idle;
    struct buf page;
    struct exposition x;
    buf_init(&page, 1 << 16);
    exposition_begin(&x, &page);
    exposition_family(&x, "hardy_requests_total", "counter",
                      "requests by how they ended: \\, \"\n");
    exposition_sample(&x, "hardy_requests_total", 3, "upstream", "a", "ended", "ok", NULL);
    exposition_sample(&x, "hardy_requests_total", 0, "upstream", "\\\"\n{},= \xc3\xa4", "ended", "",
                      NULL);
    exposition_sample(&x, "hardy_requests_total", 0x1p60, "upstream", "\xff\xc3", "ended", "ok",
                      NULL);
    exposition_family(&x, "hardy_temperature_celsius", "gauge", "figures of every kind");
    const double figures[] = {-17.25, 1e-9, 1e300, 0x1p53, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        char name[8];
        snprintf(name, sizeof name, "%zu", i);
        exposition_sample(&x, "hardy_temperature_celsius", figures[i], "place", name, NULL);
    }
    histogram_init(&h, bounds, sizeof bounds / sizeof *bounds);
    histogram_init(&idle, bounds, sizeof bounds / sizeof *bounds);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        histogram_add(&h, values[i]);
    }
    exposition_family(&x, "hardy_wait_seconds", "histogram", "waiting time");
    exposition_histogram(&x, "hardy_wait_seconds", &h, "upstream", "a", NULL);
    exposition_histogram(&x, "hardy_wait_seconds", &idle, "upstream", "b", NULL);
    exposition_family(&x, "hardy_run_seconds", "histogram", "running time");
    exposition_histogram(&x, "hardy_run_seconds", &h, NULL);
    if (page.failed || fwrite(page.data, 1, page.len, stdout) != page.len) {
        return 1;
    }
    buf_free(&page);
    return 0;
}
