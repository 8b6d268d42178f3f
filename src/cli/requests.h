/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REQUESTS_H
#define CLI_REQUESTS_H
/* Rows about requests, as the admin API tells them. */
#include <jansson.h>

void request_print_head(void);
void request_print_row(const json_t *request);
#endif
