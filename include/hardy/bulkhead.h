/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_BULKHEAD_H
#define HARDY_BULKHEAD_H
/*
 * Bulkhead: at most so many calls at once, and a bounded queue in order of arrival. A permit is
 * handed to the first in the queue, not raced for. Used through a guard.
 */
#include <hardy/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hardy_bulkhead_config {
    size_t size;
    uint32_t max_concurrent; /* 16; 1 to 1000000 */
    uint32_t max_queue;      /* waiting beyond that; 64; 0 = refuse at once */
} hardy_bulkhead_config;

HARDY_API void hardy_bulkhead_config_init(hardy_bulkhead_config *config, size_t size);

#ifdef __cplusplus
}
#endif
#endif
