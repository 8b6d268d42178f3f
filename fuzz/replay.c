/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over a corpus, without a fuzzer: replay DIRECTORY prints TAP. */
#include "base/buf.h"
#include "base/str.h"
#include "io/file.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static bool replay(const char *directory, const char *name) {
    struct buf input;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&input, INPUT_MAX);
    char *path = str_format("%s/%s", directory, name);
    bool ok = path && file_read(path, &input, &error) == HARDY_OK;
    if (ok) {
        /* A target that finds something ends the program here. */
        LLVMFuzzerTestOneInput((const uint8_t *)input.data, input.len);
    } else {
        printf("# %s: %s\n", error.where, error.message);
    }
    free(path);
    buf_free(&input);
    return ok;
}

int main(int argc, char **argv) {
    struct dirent **entries;
    int count = argc == 2 ? scandir(argv[1], &entries, not_hidden, alphasort) : -1;
    if (count <= 0) {
        fprintf(stderr, "usage: replay DIRECTORY, with at least one file\n");
        return 2;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        fflush(stdout);
        bool ok = replay(argv[1], entries[i]->d_name);
        printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}
