/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What answers mean, of any status and any words: "STATUS TYPE CODE", a line feed between them.
 * Whatever they are, the outcome is one that the policies can go by.
 */
#include <hardy/outcome.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *what, int code, hardy_outcome o, bool effect_of_success) {
    bool success = o.kind == HARDY_SUCCESS;
    bool holds = o.kind <= HARDY_THROTTLED && o.effect <= HARDY_EFFECT_DONE &&
                 success == (o.effect == HARDY_EFFECT_DONE) && !(success && o.permanent) &&
                 (o.kind != HARDY_IGNORED || o.permanent) && o.retry_after >= 0 &&
                 (!effect_of_success || success);
    if (!holds) {
        fprintf(stderr, "%s of %d: kind %d, effect %d, permanent %d, retry after %lld\n", what,
                code, (int)o.kind, (int)o.effect, (int)o.permanent, (long long)o.retry_after);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[LONGEST + 1];
    size_t len = size < LONGEST ? size : LONGEST;
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    char *type = strchr(text, '\n');
    if (type != NULL) {
        *type++ = '\0';
    }
    char *code = type != NULL ? strchr(type, '\n') : NULL;
    if (code != NULL) {
        *code++ = '\0';
    }
    int number = (int)strtol(text, NULL, 10);
    hardy_outcome plain = hardy_outcome_of_http(number, number);
    hardy_outcome told = hardy_outcome_of_llm(number, type, code, number);
    check("status", number, plain, false);
    check("words", number, told, false);
    check("exit code", number, hardy_outcome_of_exit(number), number == 0);
    check("error", number, hardy_outcome_of_errno(number, true), false);
    check("verdict", number, hardy_outcome_of_status((hardy_status)number, number), number == 0);
    /* Words never make a success of a failure, nor passing what the status says is final. */
    if ((told.kind == HARDY_SUCCESS && (plain.kind != HARDY_SUCCESS || type != NULL)) ||
        (plain.permanent && !told.permanent)) {
        fprintf(stderr, "status %d with words is more than without\n", number);
        abort();
    }
    return 0;
}
