/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/process.h"
#include "io/file.h"
#include <hardy/env.h>
#include <stdio.h>
#include <unistd.h>

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

void exposition_process(struct exposition *x, int64_t started_wall) {
    double memory = resident_memory();
    exposition_family(x, "hardy_build_info", "gauge", "1; the version is in the label");
    exposition_sample(x, "hardy_build_info", 1, "version", HARDY_VERSION, NULL);
    if (memory >= 0) {
        exposition_family(x, "process_resident_memory_bytes", "gauge", "Memory in use");
        exposition_sample(x, "process_resident_memory_bytes", memory, NULL);
    }
    exposition_family(x, "process_start_time_seconds", "gauge", "When it was started");
    exposition_sample(x, "process_start_time_seconds",
                      (double)(started_wall / HARDY_MILLISECOND) / 1000, NULL);
}

void exposition_state(struct exposition *x, bool writable) {
    exposition_family(x, "hardy_state_writable", "gauge",
                      "1 while the state can be written, else 0");
    exposition_sample(x, "hardy_state_writable", writable, NULL);
}
