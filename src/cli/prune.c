/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prune.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "work/retain.h"
#include <stdio.h>

enum { MAX_TEXT = 64 << 20 };

struct telling {
    struct json_out *json; /* NULL: lines */
    bool dry_run;
};

static void tell(void *ctx, const struct retention_run *run) {
    const struct telling *t = ctx;
    if (t->json) {
        json_out_string(t->json, run->id);
    } else {
        printf("%s  %s\n", t->dry_run ? "would go" : "gone", run->id);
    }
}

static hardy_status read(const struct prune *how, struct retain_prune *out, hardy_error *error) {
    hardy_status status = HARDY_OK;
    if (how->older_than) {
        status = parse_duration(how->older_than, &out->older_than, error);
        if (status != HARDY_OK) {
            error_prefix(error, "--older-than");
        }
    }
    if (status == HARDY_OK && how->keep) {
        status = parse_integer(how->keep, 0, INT32_MAX, &out->keep, error);
        if (status != HARDY_OK) {
            error_prefix(error, "--keep");
        }
    }
    return status;
}

static void put_sum(const struct retain_report *r, struct json_out *j) {
    json_out_member_count(j, "runs", r->rows.runs);
    json_out_member_count(j, "kept", r->rows.kept);
    json_out_member_count(j, "rows", r->rows.rows);
    json_out_member_count(j, "bytes", r->rows.bytes);
    json_out_member_count(j, "step_files", r->files);
    json_out_member_count(j, "results", r->blobs);
}

hardy_status prune_runs(const struct options *o, struct session *s, const struct prune *how,
                        hardy_error *error) {
    struct retain_settings settings;
    struct retain_report report = {0};
    struct buf text;
    struct json_out j;
    struct telling telling = {o->globals.json ? &j : NULL, how->dry_run};
    struct retain_prune prune = {.older_than = HARDY_NEVER,
                                 .keep = -1,
                                 .dry_run = how->dry_run,
                                 .told = tell,
                                 .ctx = &telling};
    const struct retain_world world = {s->loop, s->store, s->state.path};
    hardy_status status = read(how, &prune, error);
    if (status != HARDY_OK) {
        return status;
    }
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_key(&j, "removed");
    json_out_array(&j);
    status = retain_settings_read(s->state.config, &settings, error);
    status = status == HARDY_OK ? retain_prune(&world, &settings, &prune, &report, error) : status;
    json_out_array_end(&j);
    put_sum(&report, &j);
    json_out_object_end(&j);
    if (status == HARDY_OK && o->globals.json) {
        printf("%s\n", text.data ? text.data : "");
    } else if (status == HARDY_OK) {
        printf("%llu runs %s (%llu KiB), %llu are kept\n", (unsigned long long)report.rows.runs,
               how->dry_run ? "would go" : "gone",
               (unsigned long long)(report.rows.bytes + 1023) / 1024,
               (unsigned long long)report.rows.kept);
    }
    buf_free(&text);
    return status;
}
