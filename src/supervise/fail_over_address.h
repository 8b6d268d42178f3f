/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_ADDRESS_H
#define SUPERVISE_FAIL_OVER_ADDRESS_H
#include "http/url.h"
#include <string.h>

/* Where connections to an address of the configuration go: HOST:PORT, or that of an http URL.
 * False = it names none. */
static inline bool fail_over_address(const char *text, struct http_authority *out) {
    struct http_url url;
    if (http_authority_parse(text, strlen(text), out, NULL) == HARDY_OK)
        return out->port != 0;
    if (http_url_parse(text, &url, NULL) != HARDY_OK)
        return false;
    *out = url.authority;
    http_url_free(&url);
    return true;
}
#endif
