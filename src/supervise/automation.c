/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/automation.h"
#include "base/str.h"

const char *const automation_words[] = {"inherit", "observe", "ask", "act", NULL};

const char *automation_text(enum automation a) {
    return automation_words[a];
}

hardy_status automation_read(const struct config *config, int *out, hardy_error *error) {
    const struct yaml_node *node = config_section(config, "automation");
    *out = AUTOMATION_OBSERVE;
    if (!node) {
        return HARDY_OK;
    }
    for (int i = AUTOMATION_OBSERVE; automation_words[i] && node->kind == YAML_SCALAR; i++) {
        if (str_eq(node->text, automation_words[i])) {
            *out = i;
            return HARDY_OK;
        }
    }
    return yaml_fail(node, error, "automation: `%s` is not one of observe, ask, act",
                     node->kind == YAML_SCALAR ? node->text : yaml_kind_text(node));
}

enum automation automation_resolve(int action, int service, int file) {
    int narrowest = action != AUTOMATION_INHERIT    ? action
                    : service != AUTOMATION_INHERIT ? service
                                                    : file;
    return narrowest == AUTOMATION_INHERIT ? AUTOMATION_OBSERVE : (enum automation)narrowest;
}
