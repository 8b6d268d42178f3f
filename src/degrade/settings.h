/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_SETTINGS_H
#define DEGRADE_SETTINGS_H
/* `degrade:` of the configuration: gatherings by name. */
#include "config/config.h"
#include "degrade/source.h"
#include <hardy/gather.h>

enum { LEVELS = HARDY_LEVEL_FAILED + 1 };
struct gathering_settings {
    char *name;
    int64_t deadline;
    int worst;                              /* `max_degradation`, a word; see gathering_worst() */
    struct schema_list components;          /* of source_settings */
    const struct yaml_node *levels[LEVELS]; /* only while it is read */
    char *switches[LEVELS]; /* what is switched at this level, those of the better ones with it: a
                               JSON object */
};
struct degrade_settings {
    struct schema_list gatherings; /* of gathering_settings */
    struct {
        uint32_t answers;
        uint64_t size;
    } cache;
};
extern const struct schema_section degrade_section;
/* E_SYNTAX, E_INVALID with the place. degrade_settings_free() also after a failure. */
hardy_status degrade_settings_read(const struct config *config, struct degrade_settings *out,
                                   hardy_error *error);
void degrade_settings_free(struct degrade_settings *s);
/* The worst level that is not an error. */
hardy_level gathering_worst(const struct gathering_settings *s);
/* E_NOT_FOUND names the nearest. */
hardy_status gathering_find(const struct degrade_settings *s, const char *name, size_t *index,
                            hardy_error *error);
#endif
