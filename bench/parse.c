/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passing a request and its stream through costs in reading: gigabytes per second of the JSON
 * scanner over a request of 197 KB, and nanoseconds per server-sent event. Each figure stands
 * beside a floor measured in the same run: memchr() for a byte that is not there over the same
 * text, and memcpy() of the same events. Each is the best of many short pieces, so that other work
 * on the machine disturbs it little.
 */
#include "base/clock.h"
#include "gateway/scan.h"
#include "http/sse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES 200
#define BODY ((size_t)197 * 1024)

static volatile size_t sink;

/* --- requests --------------------------------------------------------------------------------- */

/* Prose, as most of a system prompt is: line ends are escaped, quotes are rare. */
static const char prose[] =
    "When a tool call fails, read what it said before trying again. The same call with the same "
    "arguments fails the same way.\\n\\n# Style\\n- Answer in the language you were asked in.\\n- "
    "Prefer short sentences. Say what was done, what was not, and why.\\n- Paths are relative to "
    "the folder the session was started in, unless they begin with a slash.\\n";
/* A file that a tool has read: source text has a quote in every other line. */
static const char source[] =
    "static bool read_text(const char **at, const char *text) {\\n    size_t len = "
    "strlen(text);\\n "
    "   if (strncmp(*at, text, len) != 0) {\\n        log_event(HARDY_LOG_DEBUG, \\\"no match\\\", "
    "\\\"text\\\", text, NULL);\\n        return false;\\n    }\\n    *at += len;\\n    return "
    "true;"
    "\\n}\\n";
/* What another program printed as JSON: a quote every few bytes. */
static const char nested[] =
    "{\\\"id\\\":\\\"vpc-0a1b2c\\\",\\\"state\\\":\\\"available\\\",\\\"tags\\\":[{\\\"key\\\":"
    "\\\"Name\\\",\\\"value\\\":\\\"prod\\\"},{\\\"key\\\":\\\"owner\\\",\\\"value\\\":"
    "\\\"platform\\\"}],\\\"cidr\\\":\\\"10.0.0.0/16\\\"},";
/* The description of a tool: structure, hardly any text. */
static const char tool[] =
    "{\"name\":\"edit\",\"description\":\"Replaces a text in a file. The old text has to stand in "
    "it exactly once.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"file_path\":{"
    "\"type\":\"string\",\"description\":\"The file.\"},\"old\":{\"type\":\"string\"},\"new\":{"
    "\"type\":\"string\"},\"all\":{\"type\":\"boolean\",\"default\":false}},\"required\":["
    "\"file_path\",\"old\",\"new\"],\"additionalProperties\":false}},";

static void put_message(struct buf *b, const char *text, size_t len) {
    buf_puts(b, "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"");
    while (len > 0 && b->len < BODY) {
        buf_puts(b, text);
        len = len > strlen(text) ? len - strlen(text) : 0;
    }
    buf_puts(b, "\"}]},");
}

static void begin_request(struct buf *b) {
    buf_init(b, 4 * BODY);
    buf_puts(b, "{\"model\":\"claude-x\",\"messages\":[");
}

static void end_request(struct buf *b, const char *tools, size_t len) {
    buf_puts(b, "{\"role\":\"user\",\"content\":\"go on\"}],\"tools\":[");
    for (size_t end = b->len + len; b->len < end;) {
        buf_puts(b, tools);
    }
    buf_puts(b, "null],\"max_tokens\":32000,\"stream\":true}");
    if (b->failed) {
        abort();
    }
}

static void make_strings(struct buf *b) { /* long strings without a quote */
    begin_request(b);
    while (b->len < BODY) {
        put_message(b, prose, 32 * 1024);
    }
    end_request(b, tool, 0);
}

static void make_session(struct buf *b) { /* as an agent sends it after some hours */
    begin_request(b);
    while (b->len < BODY - 48 * 1024) {
        put_message(b, prose, 1000);
        put_message(b, source, 4000);
        put_message(b, nested, 500);
        put_message(b, prose, 200);
    }
    end_request(b, tool, 48 * 1024);
}

static void make_escapes(struct buf *b) {
    begin_request(b);
    while (b->len < BODY) {
        put_message(b, nested, 16 * 1024);
    }
    end_request(b, tool, 0);
}

static void make_structure(struct buf *b) {
    begin_request(b);
    end_request(b, tool, BODY);
}

static void scan_request(const struct buf *b) {
    struct scan_want wants[] = {{.path = "model"},      {.path = "stream"},
                                {.path = "max_tokens"}, {.path = "metadata.user_id"},
                                {.path = "system"},     {.path = "tools"}};
    if (!scan_json(b->data, b->len, wants, sizeof wants / sizeof *wants) ||
        wants[2].value.kind != SCAN_NUMBER) {
        abort();
    }
    sink = wants[5].value.len;
}

static void find_nothing(const struct buf *b) {
    sink = memchr(b->data, '\x01', b->len) != NULL;
}

/* --- events ----------------------------------------------------------------------------------- */

#define EVENTS 500

static void make_events(struct buf *b) {
    buf_init(b, 4 * BODY);
    for (int i = 0; i < EVENTS; i++) {
        buf_puts(b, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"
                    "0,\"delta\":{\"type\":\"text_delta\",\"text\":\" of the river\"}}\n\n");
    }
    if (b->failed) {
        abort();
    }
}

static void count_event(void *ctx, const struct sse_event *event) {
    *(size_t *)ctx += event->data_len > 0;
}

static void read_events(const struct buf *b, size_t step) {
    struct sse s;
    size_t count = 0;
    sse_init(&s, BODY, count_event, &count);
    for (size_t at = 0; at < b->len; at += step) {
        size_t len = b->len - at < step ? b->len - at : step;
        if (sse_feed(&s, b->data + at, len) != HARDY_OK) {
            abort();
        }
    }
    sse_free(&s);
    if (count != EVENTS) {
        abort();
    }
}

static void events_in_reads(const struct buf *b) {
    read_events(b, 16 * 1024);
}

static void events_alone(const struct buf *b) {
    read_events(b, b->len / EVENTS);
}

static void events_in_halves(const struct buf *b) {
    read_events(b, b->len / EVENTS / 2);
}

static void events_by_bytes(const struct buf *b) {
    read_events(b, 1);
}

static void copy_events(const struct buf *b) {
    static char copy[4096];
    size_t each = b->len / EVENTS;
    for (size_t at = 0; at < b->len; at += each) {
        memcpy(copy, b->data + at, each);
        sink = (size_t)copy[each / 2];
    }
}

/* One event's data, as a gateway reads it for the usage. */
static void scan_events(const struct buf *b) {
    size_t each = b->len / EVENTS, data = strlen("event: content_block_delta\ndata: ");
    for (size_t at = 0; at < b->len; at += each) {
        struct scan_want wants[] = {{.path = "type"},
                                    {.path = "message.usage.input_tokens"},
                                    {.path = "usage.output_tokens"},
                                    {.path = "error.type"}};
        if (!scan_json(b->data + at + data, each - data - 2, wants, sizeof wants / sizeof *wants)) {
            abort();
        }
        sink = wants[0].value.len;
    }
}

/* --- measuring -------------------------------------------------------------------------------- */

static double nanoseconds(void (*fn)(const struct buf *), const struct buf *b, int calls) {
    double best = 0;
    fn(b);
    for (int piece = 0; piece < PIECES; piece++) {
        int64_t began = clock_now();
        for (int i = 0; i < calls; i++) {
            fn(b);
        }
        double each = (double)(clock_now() - began) / calls;
        best = piece == 0 || each < best ? each : best;
    }
    return best;
}

static void measure_request(const char *name, void (*make)(struct buf *)) {
    struct buf b;
    make(&b);
    double floor = nanoseconds(find_nothing, &b, 20), scan = nanoseconds(scan_request, &b, 5);
    double bytes = (double)b.len;
    printf("%-44s %8.1f %8.2f %8.1f %7.1fx\n", name, bytes / floor, bytes / scan, scan / 1000,
           scan / floor);
    buf_free(&b);
}

static void measure_events(const char *name, void (*fn)(const struct buf *), const struct buf *b,
                           double floor) {
    double each = nanoseconds(fn, b, 1) / EVENTS;
    printf("%-44s %8.1f %8.1f %17.1fx\n", name, floor, each, each / floor);
}

int main(void) {
    printf("%-44s %8s %8s %8s %8s\n", "197 KB of JSON, GB per second", "memchr", "scan", "us",
           "ratio");
    measure_request("  long strings without quotes", make_strings);
    measure_request("  a long session: prose, source, tools", make_session);
    measure_request("  strings that hold JSON: escaped quotes", make_escapes);
    measure_request("  tools alone: structure", make_structure);

    struct buf events;
    make_events(&events);
    double floor = nanoseconds(copy_events, &events, 10) / EVENTS;
    printf("events of %3zu bytes, ns each %24s %8s %17s\n", events.len / EVENTS, "memcpy", "read",
           "ratio");
    measure_events("  in reads of 16 KB", events_in_reads, &events, floor);
    measure_events("  each in a read of its own", events_alone, &events, floor);
    measure_events("  each in two reads", events_in_halves, &events, floor);
    measure_events("  byte by byte", events_by_bytes, &events, floor);
    measure_events("  its JSON scanned for four values", scan_events, &events, floor);
    buf_free(&events);
    return 0;
}
