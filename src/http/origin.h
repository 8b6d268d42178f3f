/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H
/*
 * Who may talk to a listener through a person's browser. A page elsewhere can make a browser send
 * requests to any address, and can rename its own host to point here (DNS rebinding). It cannot
 * choose what the browser writes into Host, Origin and Sec-Fetch-Site, so these are looked at.
 */
#include "http/message.h"
#include "http/url.h"

/* localhost, an IP literal (which no name can be pointed at), or one of `names` (lower case). */
bool http_host_is_ours(const struct http_authority *host, const char *const *names, size_t count);
/* A browser sent this for a page of another origin than the `host` it is sent to. Requests without
 * Origin and Sec-Fetch-Site, as programs send them, are not foreign. */
bool http_is_foreign(const struct http_headers *headers, const struct http_authority *host);
#endif
