/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_LINE (256 * 1024)

static atomic_word sink_level = HARDY_LOG_INFO, sink_json, sink_fd = STDERR_FILENO;

static const char *const names[] = {"error", "warning", "info", "debug"};

void log_configure(hardy_log_level level, bool json, int fd) {
    word_store(&sink_level, (uint64_t)level);
    word_store(&sink_json, json);
    word_store(&sink_fd, (uint64_t)fd);
}

bool log_enabled(hardy_log_level level) {
    return (uint64_t)level <= word_load(&sink_level);
}

bool log_parse_level(const char *text, hardy_log_level *out) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_eq(text, names[i])) {
            *out = (hardy_log_level)i;
            return true;
        }
    }
    return false;
}

static bool plain(const char *value) {
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f) {
            return false;
        }
    }
    return value[0] != '\0' && str_valid_utf8(value, strlen(value));
}

/* The message is the program's own words, but a line must stay one line. */
static void put_message(struct buf *line, const char *message) {
    for (const char *p = message; *p; p++) {
        buf_putc(line, (unsigned char)*p < ' ' ? ' ' : *p);
    }
}

static void put_value(struct buf *line, const char *value) {
    if (plain(value)) {
        buf_puts(line, value);
        return;
    }
    struct json_out quoted;
    json_out_init(&quoted, line, 0);
    json_out_string(&quoted, value);
}

static void write_text(struct buf *line, hardy_log_level level, const char *message,
                       va_list pairs) {
    buf_printf(line, "%s ", names[level]);
    put_message(line, message);
    const char *key;
    while ((key = va_arg(pairs, const char *)) != NULL) {
        const char *value = va_arg(pairs, const char *);
        buf_printf(line, " %s=", key);
        put_value(line, value ? value : "");
    }
}

static void write_json(struct buf *line, hardy_log_level level, const char *message,
                       va_list pairs) {
    char time[32];
    clock_format_wall(clock_wall(), time);
    struct json_out j;
    json_out_init(&j, line, 0);
    json_out_object(&j);
    json_out_key(&j, "time");
    json_out_string(&j, time);
    json_out_key(&j, "level");
    json_out_string(&j, names[level]);
    json_out_key(&j, "message");
    json_out_string(&j, message);
    const char *key;
    while ((key = va_arg(pairs, const char *)) != NULL) {
        json_out_key(&j, key);
        json_out_string(&j, va_arg(pairs, const char *));
    }
    json_out_object_end(&j);
}

void log_event(hardy_log_level level, const char *message, ...) {
    if (!log_enabled(level)) {
        return;
    }
    int kept = errno;
    struct buf line;
    buf_init(&line, LONGEST_LINE);
    va_list pairs;
    va_start(pairs, message);
    if (word_load(&sink_json)) {
        write_json(&line, level, message, pairs);
    } else {
        write_text(&line, level, message, pairs);
    }
    va_end(pairs);
    buf_putc(&line, '\n');
    /* Half a line would spoil its neighbours: one that does not fit is left out as a whole. */
    if (!line.failed) {
        while (write((int)word_load(&sink_fd), line.data, line.len) < 0 && errno == EINTR) {
        }
    }
    buf_free(&line);
    errno = kept;
}
