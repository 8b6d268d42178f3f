/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_MDOC_H
#define CLI_MDOC_H
/* Text for manual pages, in mdoc's language, to standard output. */
#include <stddef.h>

/* Text between macros: nothing in it is read as a request or an escape. */
void mdoc_text(const char *s, size_t len);
/* Words in lines of moderate length, each sentence on a line of its own, as mdoc wants it. */
void mdoc_flow(const char *s, size_t len);
void mdoc_line(const char *s, size_t len);
/* Separated by empty lines. */
void mdoc_paragraphs(const char *s);
void mdoc_literal(const char *s);
#endif
