/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OBSERVE_EXPOSITION_H
#define OBSERVE_EXPOSITION_H
/*
 * Metrics as Prometheus reads them (text exposition format 0.0.4; `promtool check metrics` finds
 * nothing). Whoever has figures writes them when asked; there is no registry.
 *
 *     exposition_family(&x, "hardy_requests_total", "counter", "requests by how they ended");
 *     exposition_sample(&x, "hardy_requests_total", 3, "upstream", "anthropic", NULL);
 */
#include "base/buf.h"
#include <stdint.h>

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
    struct buf *to;
};
void exposition_begin(struct exposition *x, struct buf *to);
/* `type`: counter, gauge, histogram. The samples of a family follow it directly. Names are written
 * as they are given: they are the program's own, and valid. */
void exposition_family(struct exposition *x, const char *name, const char *type, const char *help);
/* Pairs of label name and value, ended by NULL. Values may be anything: they are escaped, and what
 * is no UTF-8 becomes U+FFFD, for one such byte makes Prometheus refuse the whole page. */
void exposition_sample(struct exposition *x, const char *name, double value, ...)
    __attribute__((sentinel));

/* Counts by upper bounds. Single-threaded. */
#define HISTOGRAM_BOUNDS_MAX 20
struct histogram {
    const double *bounds; /* ascending, without +Inf; borrowed */
    size_t count;         /* of bounds; those beyond HISTOGRAM_BOUNDS_MAX are left out */
    /* By the smallest bound that the value does not exceed; the last is for those above all. */
    uint64_t buckets[HISTOGRAM_BOUNDS_MAX + 1];
    double sum;
};
void histogram_init(struct histogram *h, const double *bounds, size_t count);
void histogram_add(struct histogram *h, double value); /* NaN is not counted */
/* name_bucket{...,le=...}, name_sum, name_count; labels as in exposition_sample(). */
void exposition_histogram(struct exposition *x, const char *name, const struct histogram *h, ...)
    __attribute__((sentinel));
#endif
