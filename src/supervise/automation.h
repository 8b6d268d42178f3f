/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_AUTOMATION_H
#define SUPERVISE_AUTOMATION_H
/*
 * How far hardy may go by itself: `automation:` of the file, of a service, of an action. The
 * narrower word counts, and without any hardy only observes.
 */
#include "config/config.h"

enum automation {
    AUTOMATION_INHERIT, /* as what is above it says */
    AUTOMATION_OBSERVE, /* tell what would have been done */
    AUTOMATION_ASK,     /* do it when a person has said yes */
    AUTOMATION_ACT      /* do it */
};
/* For SCHEMA_ENUM, in the order of the enumeration. At the top of the file, where there is nothing
 * to inherit from, from the second word on. */
extern const char *const automation_words[];
const char *automation_text(enum automation a);

/* The file's `automation:`; AUTOMATION_OBSERVE without it. */
hardy_status automation_read(const struct config *config, int *out, hardy_error *error);
/* What counts for an action of a service: never AUTOMATION_INHERIT. */
enum automation automation_resolve(int action, int service, int file);
#endif
