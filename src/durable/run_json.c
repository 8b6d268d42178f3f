/* SPDX-License-Identifier: Apache-2.0 */
/* A run as `--json` and the API show it. */
#include "base/json.h"
#include "base/str.h"
#include "durable/run.h"

static void put_pending(const struct run_step *step, struct json_out *j) {
    json_out_member_string(j, "name", step->name);
    json_out_member_string(j, "state", run_step_state_text(step));
    json_out_member_count(j, "attempts", 0);
    json_out_member_string(j, "started", NULL);
    json_out_member_string(j, "ended", NULL);
    json_out_member_string(j, "output", NULL);
}

static void put_steps(const struct run_step *group, struct json_out *j) {
    json_out_key(j, "steps");
    json_out_array(j);
    for (size_t i = 0; i < group->count; i++) {
        const struct run_step *step = group->children[i];
        json_out_object(j);
        if (step->kind == RUN_LEAF && step->record.name) {
            record_members_to_json(&step->record, run_step_state_text(step), j);
        } else {
            put_pending(step, j);
        }
        if (step->undo.name) {
            json_out_key(j, "undo");
            record_to_json(&step->undo, j);
        }
        if (step->kind != RUN_LEAF) {
            put_steps(step, j);
        }
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

void run_to_json(const struct run *run, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "id", run->id);
    json_out_member_string(j, "name", run->name);
    json_out_member_string(j, "state", run_state_text(run_shown_state(run)));
    json_out_member_string(j, "file", run->file);
    json_out_member_wall(j, "created", run->created);
    json_out_member_wall(j, "ended", run->ended);
    json_out_member_string(j, "detail", run->detail);
    if (run->forked_from) {
        json_out_member_string(j, "forked_from", run->forked_from);
    }
    json_out_member_raw(j, "input", run->input);
    put_steps(run->root, j);
    json_out_object_end(j);
}
