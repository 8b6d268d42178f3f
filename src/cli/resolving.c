/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/resolving.h"
#include "base/error.h"
#include "io/file.h"
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

bool resolving_option(struct resolving *r, int id, const struct options *o) {
    switch (id) {
    case OPT_DONE:
        r->how = RESOLVE_DONE;
        break;
    case OPT_RETRY:
        r->how = RESOLVE_RETRY;
        break;
    case OPT_FAIL:
        r->how = RESOLVE_FAIL;
        break;
    case OPT_RESULT:
        r->result = o->value;
        return true;
    default:
        return false;
    }
    r->given++;
    return true;
}

hardy_status resolving_check(struct resolving *r, struct buf *result, hardy_error *error) {
    if (r->given != 1) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "exactly one of --done, --retry, --fail is needed");
    }
    if (r->result && r->how != RESOLVE_DONE) {
        return fail(error, HARDY_E_INVALID, NULL, "--result goes with --done");
    }
    if (!r->result) {
        return HARDY_OK;
    }
    if (r->result[0] == '@') {
        return file_read(r->result + 1, result, error);
    }
    return buf_puts(result, r->result)
               ? HARDY_OK
               : fail(error, HARDY_E_TOO_LARGE, "--result", "is larger than 1 MiB");
}

const char *resolving_who(char out[96]) {
    const struct passwd *user = getpwuid(getuid());
    snprintf(out, 96, "%s (uid %u)", user ? user->pw_name : "?", (unsigned)getuid());
    return out;
}
