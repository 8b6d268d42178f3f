/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/history.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/timeline.h"
#include <stdio.h>
#include <string.h>

/* "web", "fail-over front" */
static void title(enum history_kind kind, const char *name, char out[100]) {
    bool prefixed = kind == HISTORY_FAIL_OVER || kind == HISTORY_CHILD;
    snprintf(out, 100, "%s%s%s", prefixed ? history_kind_text(kind) : "", prefixed ? " " : "",
             name);
}

static void print_row(const struct history_row *row) {
    char longest[48] = "-", name[100];
    if (row->longest > 0) {
        format_duration_short(row->longest, longest);
    }
    title(row->kind, row->name, name);
    printf("  %-20s  %6u  %4u  %9u  %10u  %5u  %6u  %10u  %9u  %s\n", name, row->opened, row->open,
           row->recovered, row->proposed, row->acted, row->healed, row->not_healed, row->escalated,
           longest);
}

static void print_event(const struct history_event *e) {
    bool only_said = str_eq(e->what, "proposed");
    char detail[400], name[100];
    title(e->kind, e->name, name);
    str_copy(detail, sizeof detail, e->detail);
    str_make_printable(detail);
    printf("  %.10s %.8s  %-20s  %-13s  %s\n", e->at, strlen(e->at) > 19 ? e->at + 11 : "-", name,
           only_said ? "would have run" : e->what, detail);
}

/* Services and fail-overs, then children, each with a heading of its own. */
static void print_summary(const struct history *h) {
    bool any = false, children = false;
    for (size_t i = 0; i < h->row_count; i++) {
        const struct history_row *row = &h->rows[i];
        if (row->kind == HISTORY_CHILD) {
            printf("%s  %-20s  %6u\n", children ? "" : "  CHILD                   DIED\n",
                   row->name, row->died);
            children = true;
            continue;
        }
        if (!any) {
            printf("  %-20s  %6s  %4s  %9s  %10s  %5s  %6s  %10s  %9s  %s\n", "WHAT", "OPENED",
                   "OPEN", "RECOVERED", "WOULD ACT", "ACTED", "HEALED", "NOT HEALED", "ESCALATED",
                   "LONGEST");
        }
        print_row(row);
        any = true;
    }
    printf("%s", h->row_count > 0 ? "\n" : "");
}

void print_history(const struct history *h) {
    char since[32], span[48];
    moment_text(h->since, since);
    format_duration_short(h->wall - h->since, span);
    if (h->row_count + h->event_count == 0) {
        printf("\nsince %s UTC (%s) nothing happened, and hardy did nothing\n", since, span);
        return;
    }
    printf("\nsince %s UTC (%s)\n", since, span);
    print_summary(h);
    for (size_t i = 0; i < h->event_count; i++) {
        print_event(&h->events[i]);
    }
}
