/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/retention.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/field.h"
#include "durable/moment.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_ROWS 512
#define BATCH_BYTES ((uint64_t)16 << 20)
#define BATCH_WITHIN (30 * HARDY_SECOND)
#define LEASE_PREFIX "run/"

static const char *const parts[] = {"step", "undo", "signal"}; /* keys "ID/..." */

/* --- the decision ------------------------------------------------------------------------------
 */

struct by_end {
    const struct retention_run *run;
    size_t index;
};

static int older_first(const void *a, const void *b) {
    const struct by_end *x = a, *y = b;
    if (x->run->ended != y->run->ended) {
        return x->run->ended < y->run->ended ? -1 : 1;
    }
    return strcmp(x->run->id, y->run->id);
}

size_t retention_decide(const struct retention_run *runs, size_t count,
                        const struct retention_policy *policy, int64_t wall, size_t *go) {
    struct by_end *finished = calloc(count ? count : 1, sizeof *finished);
    size_t left = 0, gone = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count && finished; i++) {
        if (runs[i].finished && !runs[i].owned) {
            finished[left++] = (struct by_end){&runs[i], i};
            bytes += runs[i].bytes;
        }
    }
    if (left > 0) {
        qsort(finished, left, sizeof *finished, older_first);
    }
    int64_t before = policy->age == HARDY_NEVER ? INT64_MIN : wall - policy->age;
    for (size_t i = 0; left > 0; i++, left--) {
        const struct retention_run *run = finished[i].run;
        if (run->ended >= before && left <= policy->count && bytes <= policy->bytes) {
            break; /* nor does any that ended later */
        }
        bytes -= run->bytes;
        go[gone++] = finished[i].index;
    }
    free(finished);
    return gone;
}

/* --- what there is -----------------------------------------------------------------------------
 */

struct runs {
    struct retention_run *items; /* by id */
    size_t count, cap;
    char **stray; /* ids that rows name, and no run has */
    size_t stray_count, stray_cap;
    size_t at; /* of the last lookup */
    int64_t wall;
    bool no_memory;
};

static void runs_free(struct runs *r) {
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].id);
    }
    for (size_t i = 0; i < r->stray_count; i++) {
        free(r->stray[i]);
    }
    free(r->items);
    free(r->stray);
}

/* Only what says so in so many words has ended: a state of a newer hardy is kept. */
static void read_run(const struct store_row *row, struct retention_run *run) {
    static const char *const ends[] = {"done", "failed", "cancelled", "compensated"};
    json_t *o = json_loadb(row->value, row->len, 0, NULL);
    const char *state = json_string_value(json_object_get(o, "state"));
    run->ended = field_time(o, "ended");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        run->finished = run->finished || (run->ended > 0 && str_eq(state, ends[i]));
    }
    json_decref(o);
}

static bool grow(void **items, size_t count, size_t *cap, size_t size) {
    if (count < *cap) {
        return true;
    }
    size_t wanted = *cap ? 2 * *cap : 64;
    void *more = realloc(*items, wanted * size);
    if (!more) {
        return false;
    }
    *items = more;
    *cap = wanted;
    return true;
}

static bool add_run(void *ctx, const struct store_row *row) {
    struct runs *r = ctx;
    struct retention_run run = {
        .id = str_dup(row->key), .fence = row->fence, .rows = 1, .bytes = row->len};
    if (!run.id || !grow((void **)&r->items, r->count, &r->cap, sizeof *r->items)) {
        free(run.id);
        r->no_memory = true;
        return false;
    }
    read_run(row, &run);
    r->items[r->count++] = run;
    return true;
}

/* The order of "ID" alone, against the first `len` bytes of a key. */
static int compare_id(const char *id, const char *key, size_t len) {
    int order = strncmp(id, key, len);
    return order ? order : id[len] ? 1 : 0;
}

static struct retention_run *find_run(struct runs *r, const char *id, size_t len) {
    size_t low = 0, high = r->count;
    if (r->at < r->count && compare_id(r->items[r->at].id, id, len) == 0) {
        return &r->items[r->at];
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_id(r->items[middle].id, id, len);
        if (order == 0) {
            r->at = middle;
            return &r->items[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static bool add_stray(struct runs *r, const char *id, size_t len) {
    if (r->stray_count > 0 && compare_id(r->stray[r->stray_count - 1], id, len) == 0) {
        return true;
    }
    char *copy = str_ndup(id, len);
    if (!copy || !grow((void **)&r->stray, r->stray_count, &r->stray_cap, sizeof *r->stray)) {
        free(copy);
        r->no_memory = true;
        return false;
    }
    r->stray[r->stray_count++] = copy;
    return true;
}

static bool add_part(void *ctx, const struct store_row *row) {
    struct runs *r = ctx;
    size_t len = strcspn(row->key, "/");
    struct retention_run *run = find_run(r, row->key, len);
    if (!run) {
        return row->key[len] != '/' || add_stray(r, row->key, len);
    }
    run->rows++;
    run->bytes += row->len;
    return true;
}

static bool add_lease(void *ctx, const struct store_row *row) {
    struct runs *r = ctx;
    const char *id = row->key + strlen(LEASE_PREFIX);
    struct retention_run *run = find_run(r, id, strlen(id));
    if (run) {
        struct moment until = {0};
        json_t *o = json_loadb(row->value, row->len, 0, NULL);
        moment_get(o, "until", &until);
        json_decref(o);
        run->lease = row->fence;
        run->owned = moment_is_set(&until) && until.wall > r->wall;
        run->rows++;
        run->bytes += row->len;
    }
    return true;
}

static hardy_status look(struct store *store, struct runs *r, hardy_error *error) {
    hardy_status status = store_scan(store, "run", "", NULL, SIZE_MAX, add_run, r, error);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == HARDY_OK; i++) {
        status = store_scan_keys(store, parts[i], "", NULL, SIZE_MAX, add_part, r, error);
    }
    if (status == HARDY_OK) {
        status = store_scan(store, "lease", LEASE_PREFIX, NULL, SIZE_MAX, add_lease, r, error);
    }
    return status == HARDY_OK && r->no_memory
               ? fail(error, HARDY_E_NOMEM, NULL, "no memory to look through the runs")
               : status;
}

/* --- removing ----------------------------------------------------------------------------------
 */

struct removing {
    struct store_op ops[BATCH_ROWS + 4];
    char *keys[BATCH_ROWS + 4]; /* owned, of the ops */
    size_t count;
    size_t conditions; /* of the ops: those that remove no row */
    uint64_t bytes;
    bool full; /* there is more than one batch may hold */
    bool no_memory;
};

static bool add_op(struct removing *b, enum store_op_kind kind, const char *row_kind, char *key,
                   int64_t fence) {
    if (b->count == sizeof b->ops / sizeof *b->ops) { /* there are more rows than were counted */
        b->full = true;
        free(key);
        return false;
    }
    b->keys[b->count] = key;
    b->ops[b->count] =
        (struct store_op){.kind = kind, .row_kind = row_kind, .key = key, .if_fence = fence};
    b->no_memory = b->no_memory || !key;
    b->count += key != NULL;
    return key != NULL;
}

static bool add_row(void *ctx, const struct store_row *row) {
    struct removing *b = ctx;
    if (b->count >= BATCH_ROWS || b->bytes >= BATCH_BYTES) {
        b->full = true;
        return false;
    }
    const char *kind = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        kind = str_eq(row->kind, parts[i]) ? parts[i] : kind;
    }
    b->bytes += row->len;
    return add_op(b, STORE_DELETE, kind, str_dup(row->key), STORE_ANY_FENCE);
}

static void removing_free(struct removing *b) {
    for (size_t i = 0; b && i < b->count; i++) {
        free(b->keys[i]);
    }
    free(b);
}

/* Adds the run's row and its lease, which must be as they were seen, or the row must not be there
 * (`run` NULL), and as many of its other rows as there is room for. */
static hardy_status gather(struct store *store, const char *id, const struct retention_run *run,
                           struct removing *b, hardy_error *error) {
    char *prefix = str_format("%s/", id);
    hardy_status status = prefix ? HARDY_OK : HARDY_E_NOMEM;
    if (run) {
        add_op(b, STORE_DELETE, "run", str_dup(id), run->fence);
    } else { /* the only condition that a row is missing */
        add_op(b, STORE_INSERT, "run", str_dup(id), 0);
        add_op(b, STORE_DELETE, "run", str_dup(id), STORE_ANY_FENCE);
    }
    add_op(b, STORE_DELETE, "lease", str_format(LEASE_PREFIX "%s", id),
           run ? run->lease : STORE_ANY_FENCE);
    b->conditions += run ? run->lease == 0 : 3;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == HARDY_OK; i++) {
        status = store_scan_keys(store, parts[i], prefix, NULL, BATCH_ROWS + 1, add_row, b, error);
    }
    free(prefix);
    return status == HARDY_E_NOMEM || b->no_memory
               ? fail(error, HARDY_E_NOMEM, NULL, "no memory to remove run %s", id)
               : status;
}

/* One batch of one run. E_FENCED, E_EXISTS: it is somebody's. */
static hardy_status remove_some(struct store *store, const char *id,
                                const struct retention_run *run, struct retention_report *out,
                                bool *more, hardy_error *error) {
    struct removing *b = calloc(1, sizeof *b);
    hardy_status status = b ? gather(store, id, run, b, error)
                            : fail(error, HARDY_E_NOMEM, NULL, "no memory to remove run %s", id);
    *more = false;
    if (status == HARDY_OK && (run || b->count > 3)) {
        status =
            store_apply(store, b->ops, b->count, time_add(clock_now(), BATCH_WITHIN), NULL, error);
    }
    if (status == HARDY_OK) {
        out->rows += b->count - b->conditions;
        *more = b->full;
    }
    removing_free(b);
    return status;
}

struct progress {
    const struct retention_sweep *sweep;
    uint64_t batches;
};

static bool may_go_on(const struct progress *p) {
    return clock_now() < p->sweep->deadline &&
           (p->sweep->max_batches == 0 || p->batches < p->sweep->max_batches);
}

static hardy_status remove_run(struct store *store, const char *id, const struct retention_run *run,
                               struct progress *p, struct retention_report *out,
                               hardy_error *error) {
    bool more = true;
    hardy_status status = HARDY_OK;
    while (more && status == HARDY_OK) {
        if (!may_go_on(p)) {
            out->unfinished = true;
            return HARDY_OK;
        }
        status = remove_some(store, id, run, out, &more, error);
        run = NULL;
        p->batches++;
    }
    return status;
}

static void count_gone(const struct retention_sweep *sweep, const struct retention_run *run,
                       struct retention_report *out) {
    out->runs++;
    out->bytes += run->bytes;
    if (sweep->told) {
        sweep->told(sweep->ctx, run);
    }
}

/* Small runs together, for a sync is the dearest part. E_FENCED, E_EXISTS, E_FULL: one of them is
 * not as it was seen, and nothing has happened. */
static hardy_status remove_together(struct store *store, const struct retention_run *runs,
                                    const size_t *go, size_t count, struct progress *p,
                                    struct retention_report *out, hardy_error *error) {
    struct removing *b = calloc(1, sizeof *b);
    hardy_status status =
        b ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory to remove runs");
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        status = gather(store, runs[go[i]].id, &runs[go[i]], b, error);
        status = status == HARDY_OK && b->full ? HARDY_E_FULL : status;
    }
    if (status == HARDY_OK) {
        status =
            store_apply(store, b->ops, b->count, time_add(clock_now(), BATCH_WITHIN), NULL, error);
        p->batches++;
    }
    if (status == HARDY_OK) {
        out->rows += b->count - b->conditions;
    }
    removing_free(b);
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        count_gone(p->sweep, &runs[go[i]], out);
    }
    return status;
}

/* How many of the next ones fit into one batch, at least one. */
static size_t together(const struct retention_run *runs, const size_t *go, size_t count) {
    uint64_t rows = 0, bytes = 0;
    size_t n = 0;
    for (; n < count; n++) {
        rows += runs[go[n]].rows + 1; /* a lease that is not there is a condition too */
        bytes += runs[go[n]].bytes;
        if (n > 0 && (rows > BATCH_ROWS || bytes > BATCH_BYTES)) {
            break;
        }
    }
    return n;
}

static hardy_status remove_all(struct store *store, const struct retention_run *runs,
                               const size_t *go, size_t count, struct progress *p,
                               struct retention_report *out, hardy_error *error) {
    hardy_status status = HARDY_OK;
    for (size_t i = 0, n; i < count && status == HARDY_OK; i += n) {
        n = together(runs, go + i, count - i);
        if (!may_go_on(p)) {
            out->unfinished = true;
            return HARDY_OK;
        }
        hardy_status one =
            n > 1 ? remove_together(store, runs, go + i, n, p, out, error) : HARDY_E_FULL;
        bool apart = one == HARDY_E_FENCED || one == HARDY_E_EXISTS || one == HARDY_E_FULL;
        status = apart ? HARDY_OK : one;
        for (size_t k = i; k < i + n && apart && status == HARDY_OK && !out->unfinished; k++) {
            const struct retention_run *run = &runs[go[k]];
            if (!may_go_on(p)) {
                out->unfinished = true;
                return HARDY_OK;
            }
            status = remove_run(store, run->id, run, p, out, error);
            if (status == HARDY_OK) {
                count_gone(p->sweep, run, out);
            } else if (status == HARDY_E_FENCED || status == HARDY_E_EXISTS) {
                status = HARDY_OK; /* taken up again, or begun anew, by somebody */
            }
        }
        if (out->unfinished) {
            return status;
        }
    }
    return status;
}

hardy_status retention_apply(struct store *store, const struct retention_sweep *sweep,
                             struct retention_report *out, hardy_error *error) {
    struct runs r = {.wall = sweep->wall};
    struct progress p = {.sweep = sweep};
    *out = (struct retention_report){0};
    hardy_status status = look(store, &r, error);
    size_t *go = calloc(r.count ? r.count : 1, sizeof *go), count = 0;
    if (status == HARDY_OK && !go) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory to look through the runs");
    }
    if (status == HARDY_OK) {
        count = retention_decide(r.items, r.count, &sweep->policy, sweep->wall, go);
    }
    for (size_t i = 0; i < r.stray_count && status == HARDY_OK && !sweep->dry_run; i++) {
        status = remove_run(store, r.stray[i], NULL, &p, out, error);
        status = status == HARDY_E_EXISTS ? HARDY_OK : status; /* just begun */
    }
    for (size_t i = 0; i < count && status == HARDY_OK && sweep->dry_run; i++) {
        out->rows += r.items[go[i]].rows;
        count_gone(sweep, &r.items[go[i]], out);
    }
    if (status == HARDY_OK && !sweep->dry_run && !out->unfinished) {
        status = remove_all(store, r.items, go, count, &p, out, error);
    }
    out->kept = r.count - out->runs;
    free(go);
    runs_free(&r);
    return status;
}

hardy_status retention_clear(struct store *store, const char *id, int64_t deadline,
                             hardy_error *error) {
    const struct retention_sweep sweep = {.deadline = deadline};
    struct progress p = {.sweep = &sweep};
    struct retention_report report = {0};
    hardy_status status = remove_run(store, id, NULL, &p, &report, error);
    return status == HARDY_OK && report.unfinished
               ? fail(error, HARDY_E_DEADLINE, NULL,
                      "what is left of a former run %s could not be removed in time", id)
               : status;
}

/* --- when --------------------------------------------------------------------------------------
 */

hardy_status retention_claim(struct store *store, int64_t wall, int64_t every, int64_t deadline,
                             bool *mine, hardy_error *error) {
    struct store_row row = {0};
    struct buf value;
    struct json_out j;
    *mine = false;
    hardy_status status = store_get(store, "upkeep", "retention", &row, error);
    bool there = status == HARDY_OK;
    if (!there && status != HARDY_E_NOT_FOUND) {
        return status;
    }
    if (there) {
        json_t *o = json_loadb(row.value, row.len, 0, NULL);
        int64_t last = field_time(o, "swept");
        json_decref(o);
        /* One in the future is from a clock that was wrong. */
        if (last <= wall && wall - last < every) {
            store_row_free(&row);
            return HARDY_OK;
        }
    }
    buf_init(&value, 256);
    json_out_init(&j, &value, 0);
    json_out_object(&j);
    field_put_time(&j, "swept", wall);
    json_out_object_end(&j);
    const struct store_op op = {.kind = there ? STORE_UPDATE : STORE_INSERT,
                                .row_kind = "upkeep",
                                .key = "retention",
                                .if_fence = row.fence,
                                .fence = row.fence + 1,
                                .value = value.data,
                                .len = value.len};
    status = store_apply(store, &op, 1, deadline, NULL, error);
    *mine = status == HARDY_OK;
    if (status == HARDY_E_FENCED || status == HARDY_E_EXISTS) {
        status = HARDY_OK; /* another was faster */
    }
    buf_free(&value);
    store_row_free(&row);
    return status;
}

hardy_status retention_release(struct store *store, int64_t deadline, hardy_error *error) {
    const struct store_op op = {.kind = STORE_DELETE,
                                .row_kind = "upkeep",
                                .key = "retention",
                                .if_fence = STORE_ANY_FENCE};
    return store_apply(store, &op, 1, deadline, NULL, error);
}
