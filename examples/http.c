/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http URL...: gets each URL with libcurl, all under one guard: time-outs, retries that obey what
 * the server asks for, a circuit breaker.
 *
 *     cc http.c $(pkg-config --cflags --libs hardy libcurl) -o http
 *     python3 failing_server.py 8080 &
 *     ./http http://127.0.0.1:8080/flaky
 */
#include <curl/curl.h>
#include <errno.h>
#include <hardy/hardy.h>
#include <stdio.h>
#include <string.h>

struct get {
    CURL *curl;
    const char *url;
    hardy_env env; /* the clock that the guard uses, too */
    const hardy_call *call;
    hardy_retry_after told; /* what the answer's headers say of when to come back */
    char body[4096];
    size_t len;
};

static size_t on_header(char *line, size_t one, size_t len, void *ctx) {
    struct get *g = ctx;
    char text[256];
    (void)one;
    if (len < sizeof text) {
        memcpy(text, line, len);
        text[len] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        char *colon = strchr(text, ':');
        if (colon) {
            *colon = '\0';
            hardy_retry_after_header(&g->told, text, colon + 1 + strspn(colon + 1, " \t"),
                                     g->env.wall(g->env.ctx));
        }
    }
    return len;
}

static size_t on_body(char *data, size_t one, size_t len, void *ctx) {
    struct get *g = ctx;
    (void)one;
    if (len >= sizeof g->body - g->len) {
        return 0; /* more than there is room for: curl gives up */
    }
    memcpy(g->body + g->len, data, len);
    g->len += len;
    g->body[g->len] = '\0';
    return len;
}

/* curl asks now and then whether to go on. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return hardy_call_cancelled(((struct get *)ctx)->call);
}

/* How an attempt ended, in the words the guard understands. */
static hardy_outcome judge(struct get *g, CURLcode code) {
    long status = 0, errnum = 0, request = 0;
    curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(g->curl, CURLINFO_OS_ERRNO, &errnum);
    curl_easy_getinfo(g->curl, CURLINFO_REQUEST_SIZE, &request);
    bool sent = request > 0; /* then nobody knows what it has done */
    switch (code) {
    case CURLE_OK:
        return hardy_outcome_of_http((int)status, hardy_retry_after_wait(&g->told, (int)status));
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_ABORTED_BY_CALLBACK:
        return hardy_outcome_of_timeout(sent);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WRITE_ERROR: /* on_body() */
        return hardy_outcome_of_errno(EINVAL, sent);
    default:
        return hardy_outcome_of_errno(errnum != 0 ? (int)errnum : ECONNRESET, sent);
    }
}

/* One attempt. The guard calls it as often as it finds right. */
static void attempt(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct get *g = ctx;
    int64_t left = 0; /* milliseconds; curl takes 0 as no limit */
    if (call->deadline != HARDY_NEVER) {
        left = (call->deadline - g->env.now(g->env.ctx)) / HARDY_MILLISECOND;
        left = left > 0 ? left : 1;
    }
    g->call = call;
    g->len = 0;
    g->body[0] = '\0';
    hardy_retry_after_init(&g->told, sizeof g->told);
    curl_easy_setopt(g->curl, CURLOPT_TIMEOUT_MS, (long)left);
    CURLcode code = curl_easy_perform(g->curl);
    *outcome = judge(g, code);
    printf("  attempt %u: ", call->attempt);
    if (code == CURLE_OK) {
        printf("%d\n", outcome->code);
    } else {
        printf("%s\n", curl_easy_strerror(code));
    }
}

static bool get(struct get *g, hardy_guard *guard, const char *url) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    printf("%s\n", url);
    curl_easy_setopt(g->curl, CURLOPT_URL, url);
    if (hardy_guard_run(guard, attempt, g, HARDY_NEVER, NULL, &error) != HARDY_OK) {
        printf("  %s\n", error.message);
        return false;
    }
    printf("  %s", g->body);
    return true;
}

int main(int argc, char **argv) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    hardy_guard *guard;
    struct get g = {.curl = curl_easy_init()};
    int failed = 0;

    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    breaker.failure_threshold = 3;
    retry.max_retries = 3;
    retry.base_delay = 50 * HARDY_MILLISECOND;
    retry.repeatable = true; /* a GET changes nothing */
    config.name = "http";
    config.timeout = 2 * HARDY_SECOND;  /* an attempt */
    config.deadline = 5 * HARDY_SECOND; /* all of it */
    config.retry = &retry;
    config.breaker = &breaker;
    if (!g.curl || hardy_guard_new(&config, NULL, &guard, NULL) != HARDY_OK) {
        return 1;
    }
    hardy_env_system(&g.env, sizeof g.env);
    curl_easy_setopt(g.curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(g.curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(g.curl, CURLOPT_HEADERDATA, &g);
    curl_easy_setopt(g.curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(g.curl, CURLOPT_WRITEDATA, &g);
    curl_easy_setopt(g.curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(g.curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(g.curl, CURLOPT_XFERINFODATA, &g);
    for (int i = 1; i < argc; i++) {
        failed += !get(&g, guard, argv[i]);
    }
    curl_easy_cleanup(g.curl);
    hardy_guard_free(guard);
    return failed != 0;
}
