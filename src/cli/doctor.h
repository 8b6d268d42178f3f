/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H
/* What `hardy doctor` finds: collected by its parts, told by doctor.c. */
#include "base/buf.h"
#include "cli/options.h"
#include <hardy/env.h>

enum verdict { GOOD, NOTE, WRONG };

struct finding {
    const char *name;
    enum verdict verdict;
    char text[512];
    char mend[256]; /* "" = nothing to do */
};
struct report {
    struct finding findings[32];
    size_t count;
    struct buf store; /* what the store says about itself, as JSON */
};

/* The finding, for report_mend(); texts are copied, and cut when they are long. */
struct finding *report_find(struct report *r, const char *name, enum verdict verdict,
                            const char *format, ...) HARDY_PRINTF(4, 5);
void report_mend(struct finding *f, const char *format, ...) HARDY_PRINTF(2, 3);
void report_error(struct report *r, const char *name, const hardy_error *error);
/* That one can write there, and how much room there is. `wanted`: bytes that should be free. */
void look_at_directory(struct report *r, const char *what, const char *directory, uint64_t wanted);
/* The state, with its configuration (doctor_state.c). */
void look_at_state(struct report *r, const struct options *o);
#endif
