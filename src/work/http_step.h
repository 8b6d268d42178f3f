/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_HTTP_STEP_H
#define WORK_HTTP_STEP_H
/*
 * `hardy __http`: a step that is one HTTP request.
 *
 *   {"method":"POST", "url":"https://...",       method: GET when not given
 *    "headers":{"name":"value"},
 *    "body":"text" or "json":ANY,
 *    "expect":[201, "2xx", "200-204"],           2xx when not given
 *    "max_output":N,                             bytes of the answer; 4 MiB when not given
 *    "ca_file":"certificates.pem"}               trusted instead of the system's
 *
 * Sent as it says, with `user-agent` and, for json, `content-type` unless the headers have them.
 * POST and PATCH carry `Idempotency-Key: "KEY"` (a String of RFC 8941; a key that cannot be one is
 * sent as its SHA-256) unless the headers have it. Redirects are not followed. HARDY_DEADLINE ends
 * it, half a second before the shim would (of less than 2.5 s a fifth), so that it can still say
 * what is known; connecting may take 30 s, and without a deadline the far side may be silent for 5
 * minutes.
 *
 * Standard output is the answer's body. Of one longer than max_output, max_output + 1 bytes are
 * printed: under a shim with the same limit the result counts as truncated, like any command's.
 * After a failure it is one line {"error":TEXT,"status":N,"retry_after_ms":N,"body":BEGINNING},
 * where status, retry_after_ms and body are left out when there are none. Headers and the URL's
 * query are never told: they hold secrets.
 *
 * How it ends:
 *
 *   an expected status, the answer whole (or cut at max_output)          DONE      0
 *   408 425 429 503 529; 409 that says when to try again                 PASSING  75
 *   no connection: refused, unreachable, name, deadline before sending   PASSING  75
 *   another 1xx 2xx 3xx 4xx; 501, 505                                    FAILED    1
 *   a request that cannot be sent; a certificate that is not trusted     FAILED    1
 *   another 5xx                                                          UNKNOWN  79 (*)
 *   sent, and no status came: reset, time-out, no HTTP                   UNKNOWN  79 (*)
 *   an expected status, and the rest of the answer did not come          UNKNOWN  79 (*)
 *
 *   (*) PASSING after GET, HEAD, OPTIONS and TRACE, which have no effect (RFC 9110, 9.2.1).
 *
 * Why: only what has had no effect may be tried again freely. The statuses under PASSING are given
 * before a request is acted upon (RFC 9110 for 408 and 503, RFC 6585 for 429, RFC 8470 for 425; a
 * 409 with Retry-After tells that the first request with this key is still running). 500, 502 and
 * 504 are not such: a program fails after its first writes as well as before, and a proxy that lost
 * its upstream, or waited too long, does not know whether it acted. PUT and DELETE have effects,
 * and may be repeated (http_is_idempotent()): that makes `rerun` the right policy for their doubt,
 * while the doubt itself stays, so that it is shown when the retries are used up. Whether the far
 * side honours the key of a POST only the workflow's author knows.
 */
#include "work/step_program.h"

void http_step(struct loop *loop, json_t *request, const struct step_given *given,
               struct step_answer *answer);
/* Of the output of one that failed: whether the far side said how long to wait (nanoseconds). */
bool http_step_retry_after(const char *output, size_t len, int64_t *span);
#endif
