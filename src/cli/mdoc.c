/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mdoc.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 76

void mdoc_text(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (i == 0 && (s[i] == '.' || s[i] == '\'')) {
            fputs("\\&", stdout);
        }
        if (s[i] == '\\') {
            fputs("\\e", stdout);
        } else if (s[i] == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(s[i]);
        }
    }
}

static size_t printed_length(const char *s, size_t len) {
    size_t n = len;
    for (size_t i = 0; i < len; i++) {
        n += s[i] == '\\' || s[i] == '-';
    }
    return n;
}

void mdoc_flow(const char *s, size_t len) {
    const char *end = s + len;
    size_t at = 0;
    bool sentence_over = false;
    while (s < end) {
        size_t word = strcspn(s, " \n");
        if (word > (size_t)(end - s)) {
            word = (size_t)(end - s);
        }
        size_t size = printed_length(s, word);
        if (word > 0) {
            if (at > 0) {
                bool stay = !sentence_over && at + 1 + size <= WIDTH;
                putchar(stay ? ' ' : '\n');
                at = stay ? at + 1 : 0;
            }
            /* Only the first word of a line could be taken for a request. */
            mdoc_text(s, word);
            at += size;
            sentence_over = strchr(".!?", s[word - 1]) != NULL;
        }
        s += word + 1;
    }
    putchar('\n');
}

void mdoc_line(const char *s, size_t len) {
    mdoc_text(s, len);
    putchar('\n');
}

void mdoc_paragraphs(const char *s) {
    while (*s) {
        const char *end = strstr(s, "\n\n");
        size_t len = end ? (size_t)(end - s) : strlen(s);
        puts(".Pp");
        mdoc_flow(s, len);
        s += len + (end ? 2 : 0);
    }
}

void mdoc_literal(const char *s) {
    puts(".Bd -literal -offset indent");
    while (*s) {
        size_t len = strcspn(s, "\n");
        mdoc_line(s, len);
        s += len + (s[len] == '\n');
    }
    puts(".Ed");
}
