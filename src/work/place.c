/* SPDX-License-Identifier: Apache-2.0 */
#include "work/place.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include "durable/folder.h"
#include "io/file.h"
#include "io/lock.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hardy_status name(const char *folder, const char *row_kind, const char *key,
                         struct step_place *out, hardy_error *error) {
    struct sha256 hash;
    char hex[65];
    sha256_init(&hash);
    sha256_add_part(&hash, row_kind, strlen(row_kind));
    sha256_add_part(&hash, key, strlen(key));
    sha256_done_hex(&hash, hex);
    *out = (struct step_place){.stem = folder ? str_format("%s/%.32s", folder, hex) : NULL,
                               .lock_path = folder ? str_format("%s/keys.lock", folder) : NULL};
    hex[15] = '\0'; /* 60 bits: two keys of one byte would only wait for one another */
    out->lock_byte = strtoll(hex, NULL, 16);
    if (out->stem && out->lock_path) {
        return HARDY_OK;
    }
    step_place_free(out);
    return fail(error, HARDY_E_NOMEM, NULL, "no memory to prepare %s", key);
}

hardy_status step_place_name(const char *state, const char *row_kind, const char *key,
                             struct step_place *out, hardy_error *error) {
    char *folder = steps_folder(state);
    hardy_status status = name(folder, row_kind, key, out, error);
    free(folder);
    return status;
}

hardy_status step_place_find(const char *state, const char *row_kind, const char *key,
                             struct step_place *out, hardy_error *error) {
    char *folder = steps_folder(state);
    hardy_status status = name(folder, row_kind, key, out, error);
    if (status == HARDY_OK) {
        status = file_make_dirs(folder, 0700, error);
        if (status != HARDY_OK) {
            step_place_free(out);
        }
    }
    free(folder);
    return status;
}

void step_place_free(struct step_place *p) {
    free(p->stem);
    free(p->lock_path);
    *p = (struct step_place){0};
}

char *step_place_run(const struct step_place *p, int64_t fence) {
    return str_format("%s.%lld", p->stem, (long long)fence);
}

hardy_status step_place_lock(const struct step_place *p, int *fd, hardy_error *error) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    int opened = lock_open(p->lock_path, &why);
    hardy_status status = opened < 0 ? why.status : lock_try(opened, p->lock_byte, &why);
    if (status == HARDY_OK) {
        *fd = opened;
        return HARDY_OK;
    }
    if (opened >= 0) {
        close(opened);
    }
    if (error) {
        *error = why;
    }
    return status;
}
