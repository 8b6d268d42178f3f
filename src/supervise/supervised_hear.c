/* SPDX-License-Identifier: Apache-2.0 */
/* What a child says of itself, in the words of sd_notify. */
#include "base/parse.h"
#include "base/str.h"
#include "io/notify_socket.h"
#include "supervise/children_parts.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void main_pid(struct supervised *r, int pid) {
    const struct process_family family = supervised_family(r);
    struct process_identity who;
    if (!r->process || pid == process_pid(r->process) || process_in_family(pid, &family) != 1 ||
        process_identify(loop_of(r), pid, &who) != HARDY_OK || !supervised_attach(r, &who))
        return;
    supervised_told(r, "main process", "pid %d, as it says; how that ends will not be known", pid);
    supervised_write(r);
}

static bool value_of(const char *line, size_t len, const char *name, char *out, size_t size) {
    size_t skip = strlen(name);
    if (len < skip || memcmp(line, name, skip) != 0)
        return false;
    snprintf(out, size, "%.*s", (int)(len - skip), line + skip);
    return true;
}

static bool is_word(const char *line, size_t len, const char *word) {
    return len == strlen(word) && memcmp(line, word, len) == 0;
}

static void one_line(struct supervised *r, const char *line, size_t len) {
    char value[200];
    int64_t number;
    if (value_of(line, len, "STATUS=", value, sizeof value)) {
        str_make_printable(value);
        str_copy(r->status, sizeof r->status, value);
    } else if (value_of(line, len, "MAINPID=", value, sizeof value)) {
        if (parse_integer(value, 1, INT32_MAX, &number, NULL) == HARDY_OK)
            main_pid(r, (int)number);
    } else if (value_of(line, len, "EXTEND_TIMEOUT_USEC=", value, sizeof value)) {
        if (parse_integer(value, 0, HARDY_HOUR / HARDY_MICROSECOND, &number, NULL) == HARDY_OK)
            supervised_feed(
                r, &(struct child_event){.kind = CHILD_EXTEND, .span = number * HARDY_MICROSECOND});
    } else if (is_word(line, len, "READY=1")) {
        r->reloading = false;
        if (r->s->readiness == READY_BY_NOTIFY)
            supervised_tell(r, CHILD_IS_READY);
    } else if (is_word(line, len, "RELOADING=1")) {
        r->reloading = true;
    } else if (is_word(line, len, "STOPPING=1")) {
        supervised_tell(r, CHILD_ENDS_ITSELF);
    } else if (is_word(line, len, "WATCHDOG=1")) {
        supervised_tell(r, CHILD_PING);
    }
}

/* Whoever sends has to be one of it. One that has ended since (a command of a shell) could reach
 * the socket, which lies in a folder of ours, and is of our user. */
static void on_message(void *ctx, int pid, unsigned uid, const char *lines) {
    struct supervised *r = ctx;
    const struct process_family family = supervised_family(r);
    int member = process_in_family(pid, &family);
    if (member == 0 || (member < 0 && uid != geteuid()) || !r->machine.alive)
        return;
    while (*lines) {
        size_t len = strcspn(lines, "\n");
        one_line(r, lines, len);
        lines += len + (lines[len] == '\n');
    }
}

void supervised_hear(void *ctx) {
    const struct supervised *r = ctx;
    notify_socket_receive(r->socket, on_message, ctx);
}
