/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/folder.h"
#include "base/error.h"
#include "base/str.h"
#include <stdlib.h>
#include <sys/stat.h>

static char *folder_beside(const char *state, const char *what) {
    char *real = realpath(state, NULL);
    char *here = !real && state[0] != '/' ? realpath(".", NULL) : NULL;
    char *folder = real ? str_format("%s-%s", real, what)
                        : str_format("%s%s%s-%s", here ? here : "", here ? "/" : "", state, what);
    free(real);
    free(here);
    return folder;
}

char *steps_folder(const char *state) {
    return folder_beside(state, "steps");
}

char *children_folder(const char *state) {
    return folder_beside(state, "children");
}

hardy_status steps_check(const char *state, hardy_error *error) {
    struct stat file, steps;
    char *folder = steps_folder(state);
    bool emptied = folder && stat(state, &file) == 0 && file.st_size == 0 &&
                   stat(folder, &steps) == 0 && S_ISDIR(steps.st_mode);
    free(folder);
    return emptied
               ? fail(error, HARDY_E_CORRUPT, state,
                      "is empty, though steps were recorded in it; bring it back from a copy, or "
                      "remove it and %s-steps to begin anew",
                      state)
               : HARDY_OK;
}
