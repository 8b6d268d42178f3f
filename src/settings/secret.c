/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/secret.h"
#include "base/str.h"
#include "io/file.h"
#include <stdlib.h>
#include <string.h>

#define SECRET_MAX 8192

hardy_status secret_read(const struct config *config, const struct yaml_node *node,
                         const char *name, char **out, hardy_error *error) {
    const char *slash = config->path ? strrchr(config->path, '/') : NULL;
    char *path = slash && name[0] != '/'
                     ? str_format("%.*s/%s", (int)(slash - config->path), config->path, name)
                     : str_dup(name);
    struct buf text;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    buf_init(&text, SECRET_MAX);
    hardy_status status = path ? file_read(path, &text, &why) : HARDY_E_NOMEM;
    free(path);
    if (status != HARDY_OK) {
        buf_free(&text);
        return yaml_fail(node, error, "%s: %s", name, why.message);
    }
    const char *at = text.data ? text.data : "";
    at += strspn(at, " \t\r\n");
    size_t len = strcspn(at, " \t\r\n");
    size_t rest = len + strspn(at + len, " \t\r\n");
    bool fit = len > 0 && at[rest] == '\0';
    for (size_t i = 0; i < len; i++) {
        fit = fit && at[i] > ' ' && at[i] < 0x7f;
    }
    *out = fit ? str_ndup(at, len) : NULL;
    if (text.data) {
        memset(text.data, 0, text.len);
    }
    buf_free(&text);
    return *out ? HARDY_OK
                : yaml_fail(node, error,
                            "%s: one line of visible characters is expected in this file", name);
}

void secret_free(char **secret) {
    if (*secret) {
        memset(*secret, 0, strlen(*secret));
        free(*secret);
        *secret = NULL;
    }
}

bool secret_same(const char *given, const char *wanted) {
    size_t given_len = strlen(given), wanted_len = strlen(wanted);
    unsigned differs = given_len != wanted_len;
    for (size_t i = 0; i < given_len; i++) {
        differs |= (unsigned)((unsigned char)given[i] ^
                              (unsigned char)wanted[wanted_len > 0 ? i % wanted_len : 0]);
    }
    return differs == 0;
}
