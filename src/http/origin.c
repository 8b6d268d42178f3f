/* SPDX-License-Identifier: Apache-2.0 */
#include "http/origin.h"
#include "base/str.h"
#include <string.h>
#include <strings.h>

bool http_host_is_ours(const struct http_authority *host, const char *const *names, size_t count) {
    if (host->ip || str_eq(host->host, "localhost")) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (str_eq(host->host, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_same(const char *origin, const struct http_authority *host) {
    struct http_url url;
    /* An origin has no path, so it is a URL (which gets "/") that ends with its host and port. */
    if (strchr(origin, '?') || http_url_parse(origin, &url, NULL) != HARDY_OK) {
        return false;
    }
    bool bare = str_eq(url.target, "/") && origin[strlen(origin) - 1] != '/';
    uint16_t port = host->port ? host->port : http_url_default_port(&url);
    bool same = bare && url.authority.port == port && str_eq(url.authority.host, host->host);
    http_url_free(&url);
    return same;
}

bool http_is_foreign(const struct http_headers *headers, const struct http_authority *host) {
    const char *site = http_headers_get(headers, "sec-fetch-site");
    if (site && strcasecmp(site, "same-origin") != 0 && strcasecmp(site, "none") != 0) {
        return true;
    }
    const char *origin = http_headers_get(headers, "origin");
    return http_headers_count(headers, "sec-fetch-site") > 1 ||
           http_headers_count(headers, "origin") > 1 || (origin && !is_same(origin, host));
}
