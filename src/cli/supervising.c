/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/supervising.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/say.h"
#include "durable/folder.h"
#include "io/file.h"
#include <stdlib.h>

static void on_problem(void *ctx, const hardy_error *problem) {
    say_error(ctx, problem);
}

int supervising_read(const struct options *o, const struct config *config,
                     const struct schema_list *checks, const struct schema_list *targets,
                     struct supervising *out) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = children_settings_read(config, &out->list, &error);
    if (status != HARDY_OK) {
        say_error(o, &error);
        return session_exit(status);
    }
    return children_settings_check(config, &out->list, checks, targets, on_problem,
                                   (void *)(uintptr_t)o) > 0
               ? EXIT_USAGE
               : EXIT_DONE;
}

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

int supervising_exit(const struct supervising *s) {
    const struct child_settings *settings = s->list.items;
    int code = EXIT_DONE;
    for (size_t n = 0; n < s->list.count; n++) {
        struct child_view v;
        if (!s->children || !children_find(s->children, settings[n].name, &v))
            continue;
        int own = v.machine->unknown  ? EXIT_FAILED
                  : v.machine->signal ? 128 + v.machine->signal
                                      : v.machine->code;
        if (s->list.count == 1)
            code = own;
        if (v.machine->state == CHILD_FAILED && code == EXIT_DONE)
            code = EXIT_FAILED;
    }
    return code;
}
