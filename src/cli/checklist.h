/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CHECKLIST_H
#define CLI_CHECKLIST_H
/* What a configuration or a workflow has to have before it is left alone with its work, item by
 * item: for each guard, upstream, component, service, child and step, and for the whole. */
#include "base/json.h"
#include "config/config.h"
#include "work/workflow.h"

struct checklist_item;
struct checklist { /* zero to begin with */
    struct checklist_item *items;
    size_t count;
};
/* The file has been found right before. */
void checklist_configuration(struct checklist *list, const struct config *config);
/* `config`: where the guards of its steps are. */
void checklist_workflow(struct checklist *list, const struct workflow *w,
                        const struct config *config);
void checklist_print(const struct checklist *list); /* for a person; nothing when it is empty */
void checklist_put(const struct checklist *list, struct json_out *json); /* an array */
void checklist_free(struct checklist *list);
#endif
