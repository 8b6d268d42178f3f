/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/timeline.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

void moment_text(int64_t wall, char out[32]) {
    char text[40];
    if (wall == 0) {
        str_copy(out, 32, "-");
        return;
    }
    clock_format_wall(wall, text);
    snprintf(out, 32, "%.10s %.8s", text, text + 11);
}

void clock_text(int64_t wall, char out[16]) {
    char text[40];
    if (wall == 0) {
        str_copy(out, 16, "-");
        return;
    }
    clock_format_wall(wall, text);
    snprintf(out, 16, "%.12s", text + 11);
}

void print_record(const struct record *r, int indent) {
    char started[16], span[48] = "";
    clock_text(r->started, started);
    if (r->started && r->ended) {
        format_duration_short(r->ended - r->started, span);
    }
    printf("%*s%-20s %-8s attempts %u, started %s%s%s%s%s\n", indent, "", r->name,
           record_state_text(r->state), r->attempt, started, span[0] ? ", took " : "", span,
           r->detail ? ", " : "", r->detail ? r->detail : "");
    size_t len = r->output ? strcspn(r->output, "\n") : 0;
    if (len > 0) {
        printf("%*s%-20s %.*s%s\n", indent, "", "", len > 200 ? 200 : (int)len, r->output,
               r->output[len] && r->output[len + 1] ? " ..." : "");
    }
}
