/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/say.h"
#include "base/buf.h"
#include "cli/command.h"
#include <errno.h>
#include <unistd.h>

#define LONGEST 8192

static void write_all(const char *text, size_t len) {
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, text, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* nobody can be told that nobody listens */
        }
        text += n;
        len -= (size_t)n;
    }
}

static void start(const struct options *o, struct buf *line) {
    buf_init(line, LONGEST);
    if (o->self) {
        buf_printf(line, "hardy %s: ", o->self->name);
    } else {
        buf_puts(line, "hardy: ");
    }
}

static void finish(struct buf *line) {
    /* A line that was cut is still a line. */
    if (line->len > 0) {
        if (!buf_putc(line, '\n')) {
            line->data[line->len - 1] = '\n';
        }
        write_all(line->data, line->len);
    }
    buf_free(line);
}

void say(const struct options *o, hardy_log_level level, const char *format, ...) {
    if (level > o->globals.level) {
        return;
    }
    struct buf line;
    start(o, &line);
    va_list args;
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    finish(&line);
}

void say_error(const struct options *o, const hardy_error *error) {
    const char *message = error->message[0] ? error->message : hardy_status_text(error->status);
    if (error->where[0]) {
        say(o, HARDY_LOG_ERROR, "%s: %s", error->where, message);
    } else {
        say(o, HARDY_LOG_ERROR, "%s", message);
    }
}
