/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "config/template.h"
#include "incident/incident.h"
#include <string.h>

struct view {
    json_t *evidence; /* the gathered answer */
    json_t *incident;
};

/* evidence.SOURCE.rest looks into what that source brought; what is not there is null, for a rule
 * must be able to ask about evidence that did not come. */
static json_t *look_up(void *ctx, const char *path) {
    const struct view *view = ctx;
    json_t *found = NULL;
    if (str_starts(path, "evidence.")) {
        const char *rest = path + strlen("evidence."), *name;
        json_t *component;
        size_t longest = 0;
        json_object_foreach(json_object_get(view->evidence, "components"), name, component) {
            size_t len = strlen(name);
            bool fits = strncmp(rest, name, len) == 0 && (rest[len] == '.' || rest[len] == '\0');
            if (!fits || len < longest)
                continue;
            longest = len;
            found =
                template_walk(json_object_get(component, "data"), rest + len + (rest[len] == '.'));
        }
    } else if (str_starts(path, "incident.")) {
        found = template_walk(view->incident, path + strlen("incident."));
    } else {
        return NULL; /* no such place: an error in the rule */
    }
    return found ? found : json_null();
}

const struct rule_settings *
incident_analyse(const struct incident *i, const struct service_settings *s, struct buf *problems) {
    const struct rule_settings *rules = s->rules.items, *found = NULL;
    struct view view = {
        .evidence = i->evidence ? json_loads(i->evidence, JSON_DECODE_ANY, NULL) : NULL,
        .incident =
            json_pack("{s:s, s:s, s:s, s:i}", "service", i->service, "severity", i->severity,
                      "summary", i->summary ? i->summary : "", "round", (int)i->round)};
    for (size_t n = 0; n < s->rules.count && !found; n++) {
        hardy_error why;
        bool holds = false;
        hardy_error_init(&why, sizeof why);
        if (template_truth(rules[n].when, look_up, &view, &holds, &why) != HARDY_OK) {
            if (problems)
                buf_printf(problems, "%srule %s: %s", problems->len ? "; " : "", rules[n].name,
                           why.message);
        } else if (holds) {
            found = &rules[n];
        }
    }
    json_decref(view.evidence);
    json_decref(view.incident);
    return found;
}
