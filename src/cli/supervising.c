/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/supervising.h"
#include "base/error.h"
#include "cli/command.h"
#include "durable/folder.h"
#include "io/file.h"
#include <stdlib.h>

hardy_status supervising_start(struct supervising *s, struct session *session,
                               const struct schema_list *targets,
                               const struct maintenance *maintenance,
                               const struct children_events *events, void *ctx,
                               hardy_error *error) {
    file_boot_id(s->boot);
    s->folder = children_folder(session->state.path);
    if (!s->folder)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    s->world = (struct children_world){.loop = session->loop,
                                       .store = session->store,
                                       .folder = s->folder,
                                       .boot = s->boot,
                                       .env = session_environment(),
                                       .client = session->client,
                                       .targets = targets,
                                       .maintenance = maintenance};
    return children_start(&s->world, &s->list, events, ctx, &s->children, error);
}

void supervising_free(struct supervising *s) {
    children_settings_free(&s->list);
    free(s->folder);
    *s = (struct supervising){0};
}

int supervising_exit(const struct children *children, const struct schema_list *list) {
    const struct child_settings *settings = list->items;
    int code = EXIT_DONE;
    for (size_t n = 0; n < list->count; n++) {
        struct child_view v;
        if (!children || !children_find(children, settings[n].name, &v))
            continue;
        int own = v.machine->unknown  ? EXIT_FAILED
                  : v.machine->signal ? 128 + v.machine->signal
                                      : v.machine->code;
        if (list->count == 1)
            code = own;
        if (v.machine->state == CHILD_FAILED && code == EXIT_DONE)
            code = EXIT_FAILED;
    }
    return code;
}
