/* SPDX-License-Identifier: Apache-2.0 */
/* Guards shared by processes: real files, real forks, no waiting but for children to end. */
#include "shared/host.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h comes after these four. */
#include "base/str.h"
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW (100 * HARDY_SECOND)

static char directory[64], state[96], path[112];

static int make_directory(void **ctx) {
    (void)ctx;
    str_copy(directory, sizeof directory, "/tmp/hardy-host-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(state, sizeof state, "%s/hardy.db", directory);
    snprintf(path, sizeof path, "%s-guards", state);
    return 0;
}

static int remove_directory(void **ctx) {
    (void)ctx;
    unlink(path);
    rmdir(directory);
    return 0;
}

static struct host_policies settings(enum host_want breaker) {
    struct host_policies p = {.want_breaker = breaker, .max_concurrent = 2};
    hardy_breaker_config_init(&p.breaker, sizeof p.breaker);
    hardy_rate_config_init(&p.rate, sizeof p.rate);
    hardy_budget_config_init(&p.budget, sizeof p.budget);
    return p;
}

static struct host *opened(void) {
    struct host *host = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (host_open(state, true, &host, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return host;
}

static struct host_slot attached(struct host *host, const char *name, struct host_policies *p) {
    struct host_slot slot;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (host_attach(host, name, p, &slot, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return slot;
}

static void fail_once(struct breaker_words *w, const hardy_breaker_config *c) {
    hardy_permit permit;
    int64_t at;
    assert_true(breaker_acquire(w, c, NOW, 0, &permit, &at, NULL));
    breaker_record(w, c, &permit, HARDY_FAILURE, NOW, NULL);
}

static hardy_breaker_state state_of(struct breaker_words *w, const hardy_breaker_config *c) {
    hardy_breaker_stats stats;
    breaker_stats(w, c, NOW, &stats);
    return stats.state;
}

static void test_made_on_first_use(void **ctx) {
    (void)ctx;
    struct host *host = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(host_open(state, false, &host, &error), HARDY_E_NOT_FOUND);
    assert_null(host);
    struct stat st;
    assert_int_equal(stat(path, &st), -1);

    host = opened();
    assert_string_equal(host_path(host), path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_blocks * 512 >= st.st_size); /* no page that a full disk could refuse later */
    host_close(host);
    assert_int_equal(host_open(state, false, &host, &error), HARDY_OK);
    host_close(host);
}

static void test_words_are_shared(void **ctx) {
    (void)ctx;
    struct host *a = opened(), *b = opened();
    struct host_policies p = settings(HOST_DEFAULT), q = settings(HOST_DEFAULT);
    struct host_slot one = attached(a, "search", &p), other = attached(b, "search", &q);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(state_of(other.breaker, &q.breaker), HARDY_CLOSED);
        fail_once(one.breaker, &p.breaker);
    }
    assert_int_equal(state_of(other.breaker, &q.breaker), HARDY_OPEN);
    struct host_policies r = settings(HOST_DEFAULT);
    struct host_slot third = attached(b, "else", &r);
    assert_int_equal(state_of(third.breaker, &r.breaker), HARDY_CLOSED);
    host_close(a);
    host_close(b);
    host_close(NULL);

    struct host *c = opened();
    struct host_policies s = settings(HOST_IF_STORED);
    struct host_slot again = attached(c, "search", &s);
    assert_int_equal(state_of(again.breaker, &s.breaker), HARDY_OPEN);
    host_close(c);
}

static void test_stored_settings_apply(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    struct host_policies given = settings(HOST_GIVEN);
    given.breaker.failure_threshold = 3;
    given.breaker.failure_mode = HARDY_CONSECUTIVE;
    given.breaker.recovery_timeout = 7 * HARDY_SECOND;
    given.breaker.counts_attempts = true;
    given.want_rate = HOST_GIVEN;
    given.rate.events = 2.5;
    given.rate.burst = 4;
    given.rate.reject = true;
    given.want_budget = HOST_GIVEN;
    given.budget.ratio = 0.25;
    given.want_slots = HOST_GIVEN;
    given.max_concurrent = 9;
    struct host_slot slot = attached(host, "search", &given);
    assert_non_null(slot.rate);
    assert_non_null(slot.budget);

    for (enum host_want want = HOST_IF_STORED; want <= HOST_DEFAULT; want++) {
        struct host_policies none = settings(want);
        none.want_rate = none.want_budget = none.want_slots = want;
        struct host_slot same = attached(host, "search", &none);
        assert_int_equal(none.breaker.failure_threshold, 3);
        assert_int_equal(none.breaker.failure_mode, HARDY_CONSECUTIVE);
        assert_int_equal(none.breaker.recovery_timeout, 7 * HARDY_SECOND);
        assert_true(none.breaker.counts_attempts);
        assert_true(none.rate.events == 2.5 && none.rate.burst == 4);
        assert_false(none.rate.reject); /* the call's own */
        assert_true(none.budget.ratio == 0.25);
        assert_int_equal(none.max_concurrent, 9);
        assert_ptr_equal(same.breaker, slot.breaker);
        assert_ptr_equal(same.rate, slot.rate);
    }
    host_close(host);
}

static void test_nothing_stored(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    struct host_policies p = settings(HOST_DEFAULT);
    struct host_slot slot = attached(host, "search", &p);
    assert_non_null(slot.breaker);
    assert_null(slot.rate);
    assert_null(slot.budget);
    assert_int_equal(p.max_concurrent, 0);
    /* A policy may join later. */
    struct host_policies q = settings(HOST_IF_STORED);
    q.want_rate = HOST_GIVEN;
    slot = attached(host, "search", &q);
    assert_non_null(slot.rate);
    assert_non_null(slot.breaker);
    host_close(host);
}

static void test_other_settings_are_refused(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    struct host_policies p = settings(HOST_GIVEN);
    (void)attached(host, "search", &p);
    struct host_policies q = settings(HOST_GIVEN);
    q.breaker.failure_threshold = 3;
    q.want_rate = HOST_GIVEN; /* must not be stored when the breaker is refused */
    struct host_slot slot;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(host_attach(host, "search", &q, &slot, &error), HARDY_E_MISMATCH);
    assert_non_null(strstr(error.message, "failure_threshold 5 (given 3)"));
    assert_non_null(strstr(error.message, "hardy guards reset search --state /tmp/hardy-host-"));
    assert_string_equal(error.where, path);

    struct host_policies r = settings(HOST_GIVEN); /* the same settings again */
    slot = attached(host, "search", &r);
    assert_null(slot.rate);

    /* Another policy's settings do not touch the breaker's, and the other way round. */
    struct host_policies s = settings(HOST_IF_STORED);
    s.want_slots = HOST_GIVEN;
    (void)attached(host, "search", &s);
    s.max_concurrent = 3;
    assert_int_equal(host_attach(host, "search", &s, &slot, &error), HARDY_E_MISMATCH);
    assert_non_null(strstr(error.message, "max_concurrent 2 (given 3)"));

    struct host_policies wrong = settings(HOST_GIVEN);
    wrong.breaker.failure_threshold = 0;
    assert_int_equal(host_attach(host, "new", &wrong, &slot, &error), HARDY_E_INVALID);
    assert_int_equal(host_attach(host, "no/name", &r, &slot, &error), HARDY_E_INVALID);
    host_close(host);
}

static void write_at(off_t offset, const void *data, size_t len) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, offset), (ssize_t)len);
    close(fd);
}

static void test_another_boot(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    struct host_policies p = settings(HOST_GIVEN);
    struct host_slot slot = attached(host, "search", &p);
    for (int i = 0; i < 5; i++) {
        fail_once(slot.breaker, &p.breaker);
    }
    host_close(host);
    write_at(20, "00000000-0000-0000-0000-000000000000", 37);
    host = opened();
    struct host_policies q = settings(HOST_GIVEN);
    q.breaker.failure_threshold = 3; /* nothing is left that could differ */
    slot = attached(host, "search", &q);
    assert_int_equal(state_of(slot.breaker, &q.breaker), HARDY_CLOSED);
    host_close(host);
    host = opened(); /* and it does not start anew each time */
    struct host_policies r = settings(HOST_IF_STORED);
    (void)attached(host, "search", &r);
    assert_int_equal(r.breaker.failure_threshold, 3);
    host_close(host);
}

static hardy_status refused(char *message, size_t size) {
    struct host *host = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = host_open(state, true, &host, &error);
    assert_null(host);
    assert_string_equal(error.where, path);
    str_copy(message, size, error.message);
    return status;
}

static void test_foreign_files(void **ctx) {
    (void)ctx;
    char message[400], left[64] = {0};
    static const char text[] = "dear diary, today nothing failed";
    write_at(0, text, sizeof text);
    assert_int_equal(refused(message, sizeof message), HARDY_E_CORRUPT);
    assert_non_null(strstr(message, "not a file of guards"));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, left, sizeof left), (ssize_t)sizeof text);
    assert_string_equal(left, text);
    close(fd);
    unlink(path);

    host_close(opened());
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 4096), 0);
    assert_int_equal(refused(message, sizeof message), HARDY_E_CORRUPT);
    assert_non_null(strstr(message, "cut"));
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(refused(message, sizeof message), HARDY_E_CORRUPT);
    unlink(path);

    host_close(opened());
    write_at(8, &(uint32_t){99}, 4);
    assert_int_equal(refused(message, sizeof message), HARDY_E_NEWER);
    write_at(8, &(uint32_t){0}, 4);
    assert_int_equal(refused(message, sizeof message), HARDY_E_CORRUPT);
    unlink(path);

    assert_int_equal(mkfifo(path, 0600), 0); /* must not hang */
    assert_int_equal(refused(message, sizeof message), HARDY_E_CORRUPT);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_not_equal(refused(message, sizeof message), HARDY_OK);
    rmdir(path);
}

static void test_maker_was_killed(void **ctx) {
    (void)ctx;
    write_at(0, "", 0);
    host_close(opened());
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    off_t whole = st.st_size;
    unlink(path);
    for (off_t size = 1; size <= whole; size += whole / 3) {
        write_at(size - 1, "", 1);
        host_close(opened());
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, whole);
        unlink(path);
    }
}

static void test_names_are_bounded(void **ctx) {
    (void)ctx;
    struct host *host = opened(), *other = opened();
    struct host_slot slot;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct host_policies p;
    char name[16];
    for (int i = 0; i < HOST_NAMES; i++) {
        p = settings(HOST_DEFAULT);
        snprintf(name, sizeof name, "name%d", i);
        (void)attached(host, name, &p);
    }
    p = settings(HOST_DEFAULT);
    assert_int_equal(host_attach(other, "more", &p, &slot, &error), HARDY_E_NOSPACE);
    assert_non_null(strstr(error.message, "256"));
    assert_non_null(strstr(error.message, "hardy guards reset"));
    /* Forgotten, but `host` still uses its words: nobody else may have them. */
    assert_int_equal(host_reset(other, "name7", NOW, &error), HARDY_OK);
    assert_int_equal(host_attach(other, "more", &p, &slot, &error), HARDY_E_NOSPACE);
    host_close(host);
    (void)attached(other, "more", &p);
    assert_int_equal(host_reset(other, "name8", NOW, &error), HARDY_OK);
    (void)attached(other, "other", &p);
    host_close(other);
}

static void test_other_settings(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(host_forget_settings(host, "search", &error), HARDY_E_NOT_FOUND);
    struct host_policies p = settings(HOST_GIVEN);
    struct host_slot slot = attached(host, "search", &p), again;
    for (int i = 0; i < 5; i++) {
        fail_once(slot.breaker, &p.breaker);
    }
    struct host_policies q = settings(HOST_GIVEN);
    q.breaker.failure_threshold = 9;
    assert_int_equal(host_attach(host, "search", &q, &again, &error), HARDY_E_MISMATCH);
    assert_int_equal(host_forget_settings(host, "search", &error), HARDY_OK);
    again = attached(host, "search", &q);
    assert_ptr_equal(again.breaker, slot.breaker);
    hardy_breaker_stats stats;
    breaker_stats(again.breaker, &q.breaker, NOW, &stats);
    assert_int_equal(stats.total_failures, 5); /* what was learned stays */
    assert_int_equal(stats.state, HARDY_OPEN);
    p = settings(HOST_DEFAULT);
    (void)attached(host, "search", &p);
    assert_int_equal(p.breaker.failure_threshold, 9);
    host_close(host);
}

static void test_reset(void **ctx) {
    (void)ctx;
    struct host *user = opened(), *person = opened();
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct host_policies p = settings(HOST_GIVEN);
    struct host_slot slot = attached(user, "search", &p);
    hardy_permit late;
    int64_t at;
    assert_true(breaker_acquire(slot.breaker, &p.breaker, NOW, 0, &late, &at, NULL));
    for (int i = 0; i < 5; i++) {
        fail_once(slot.breaker, &p.breaker);
    }
    assert_int_equal(host_reset(person, "serch", NOW, &error), HARDY_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "\"search\""));
    assert_int_equal(host_reset(person, "", NOW, &error), HARDY_E_NOT_FOUND);
    assert_int_equal(host_reset(person, "search", NOW, &error), HARDY_OK);
    hardy_breaker_stats stats;
    breaker_stats(slot.breaker, &p.breaker, NOW, &stats);
    assert_int_equal(stats.state, HARDY_CLOSED);
    assert_int_equal(stats.total_failures, 0);
    assert_int_equal(stats.recent_failures, 0);
    breaker_record(slot.breaker, &p.breaker, &late, HARDY_FAILURE, NOW, NULL);
    breaker_stats(slot.breaker, &p.breaker, NOW, &stats);
    assert_int_equal(stats.recent_failures, 0);

    struct host_policies q = settings(HOST_GIVEN);
    q.breaker.failure_threshold = 3;
    struct host_slot again = attached(person, "search", &q);
    assert_int_equal(again.index, slot.index); /* still one breaker for both */
    assert_int_equal(host_reset(user, "search", NOW, &error), HARDY_OK);
    assert_int_equal(host_reset(user, "search", NOW, &error), HARDY_E_NOT_FOUND);
    host_close(user);
    host_close(person);
}

struct seen {
    int count;
    char names[256];
    uint32_t max_concurrent, threshold;
    struct host *host;
};

static bool note(void *ctx, const struct host_entry *entry) {
    struct seen *seen = ctx;
    seen->count++;
    size_t len = strlen(seen->names);
    snprintf(seen->names + len, sizeof seen->names - len, "%s ", entry->name);
    if (entry->max_concurrent) {
        seen->max_concurrent = entry->max_concurrent;
        assert_int_equal(host_slots_taken(seen->host, &entry->slot, entry->max_concurrent), 1);
    }
    if (entry->has_breaker) {
        seen->threshold = entry->breaker.failure_threshold;
        assert_non_null(entry->slot.breaker);
    }
    assert_false(entry->has_budget);
    return seen->count < 2;
}

static void test_list(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    struct seen seen = {.host = host};
    assert_int_equal(host_each(host, note, &seen, NULL), HARDY_OK);
    assert_int_equal(seen.count, 0);
    struct host_policies p = settings(HOST_GIVEN);
    p.breaker.failure_threshold = 4;
    (void)attached(host, "one", &p);
    struct host_policies q = settings(HOST_IF_STORED);
    q.want_slots = HOST_GIVEN;
    struct host_slot slot = attached(host, "two", &q);
    (void)attached(host, "three", &q);
    int fd;
    assert_int_equal(host_take_slot(host, &slot, 2, &fd, NULL), HARDY_OK);
    assert_int_equal(host_each(host, note, &seen, NULL), HARDY_OK);
    close(fd);
    struct host_entry entry;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(host_find(host, "two", &entry, &error), HARDY_OK);
    assert_int_equal(entry.max_concurrent, 2);
    assert_false(entry.has_rate);
    assert_int_equal(host_find(host, "tow", &entry, &error), HARDY_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "did you mean \"two\"?"));
    assert_string_equal(seen.names, "one two ");
    assert_int_equal(seen.max_concurrent, 2);
    assert_int_equal(seen.threshold, 4);
    host_close(host);
}

/* --- real processes ----------------------------------------------------------------------- */

struct meeting { /* shared by the children of a test */
    atomic_word ready, go, inside, most, wrong, done;
};

static struct meeting *meet(void) {
    void *memory = mmap(NULL, sizeof(struct meeting), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

/* Starts `count` children that begin at once; each exits with the body's value. */
static void together(struct meeting *m, int count, int (*body)(struct meeting *m, int number)) {
    pid_t children[32];
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            word_add(&m->ready, 1);
            while (!word_load(&m->go)) {
            }
            _exit(body(m, i));
        }
    }
    while (word_load(&m->ready) < (uint64_t)count) {
        usleep(100);
    }
    word_store(&m->go, 1);
    int bad = 0;
    for (int i = 0; i < count; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        if (status != 0) {
            print_error("child %d ended with %#x\n", i, (unsigned)status);
        }
        bad += status != 0;
    }
    assert_int_equal(bad, 0);
}

static int open_and_fail(struct meeting *m, int number) {
    (void)m;
    (void)number;
    struct host *host;
    struct host_policies p = settings(HOST_GIVEN);
    p.breaker.failure_threshold = 16;
    struct host_slot slot;
    hardy_permit permit;
    int64_t at;
    if (host_open(state, true, &host, NULL) != HARDY_OK ||
        host_attach(host, "search", &p, &slot, NULL) != HARDY_OK) {
        return 1;
    }
    if (!breaker_acquire(slot.breaker, &p.breaker, NOW, 0, &permit, &at, NULL)) {
        return 2;
    }
    breaker_record(slot.breaker, &p.breaker, &permit, HARDY_FAILURE, NOW, NULL);
    host_close(host);
    return 0;
}

static void test_sixteen_make_it_at_once(void **ctx) {
    (void)ctx;
    for (int round = 0; round < 20; round++) {
        struct meeting *m = meet();
        together(m, 16, open_and_fail);
        munmap(m, sizeof *m);
        struct host *host = opened();
        struct host_policies p = settings(HOST_IF_STORED);
        struct host_slot slot = attached(host, "search", &p);
        hardy_breaker_stats stats;
        breaker_stats(slot.breaker, &p.breaker, NOW, &stats);
        assert_int_equal(stats.total_failures, 16);
        assert_int_equal(stats.state, HARDY_OPEN);
        assert_int_equal(stats.times_opened, 1);
        host_close(host);
        unlink(path);
    }
}

static int attach_own_name(struct meeting *m, int number) {
    struct host *host;
    struct host_policies p = settings(HOST_DEFAULT);
    struct host_slot slot;
    char name[16];
    snprintf(name, sizeof name, "name%d", number);
    if (host_open(state, true, &host, NULL) != HARDY_OK ||
        host_attach(host, name, &p, &slot, NULL) != HARDY_OK) {
        return 1;
    }
    word_add(&m->inside, UINT64_C(1) << slot.index); /* each has another index: no carry */
    return 0;
}

static void test_sixteen_names_at_once(void **ctx) {
    (void)ctx;
    struct meeting *m = meet();
    together(m, 16, attach_own_name);
    assert_int_equal(word_load(&m->inside), 0xffff);
    munmap(m, sizeof *m);
}

static int use_slots(struct meeting *m, int number) {
    (void)number;
    struct host *host;
    struct host_policies p = settings(HOST_IF_STORED);
    p.want_slots = HOST_GIVEN;
    p.max_concurrent = 3;
    struct host_slot slot;
    if (host_open(state, true, &host, NULL) != HARDY_OK ||
        host_attach(host, "search", &p, &slot, NULL) != HARDY_OK) {
        return 1;
    }
    for (int i = 0; i < 200; i++) {
        int fd;
        hardy_status status = host_take_slot(host, &slot, 3, &fd, NULL);
        if (status == HARDY_E_FULL) {
            continue;
        }
        if (status != HARDY_OK) {
            return 2;
        }
        uint64_t inside = word_add(&m->inside, 1) + 1;
        uint64_t most = word_load(&m->most);
        while (inside > most && !word_cas(&m->most, &most, inside)) {
        }
        word_add(&m->done, 1);
        usleep(10); /* lets the others in */
        word_add(&m->inside, (uint64_t)-1);
        close(fd);
    }
    host_close(host);
    return 0;
}

static void test_slots_are_counted(void **ctx) {
    (void)ctx;
    struct meeting *m = meet();
    together(m, 8, use_slots);
    assert_int_equal(word_load(&m->most), 3);
    assert_true(word_load(&m->done) > 20);
    munmap(m, sizeof *m);
}

static void test_the_dead_give_slots_back(void **ctx) {
    (void)ctx;
    struct host *host = opened();
    struct host_policies p = settings(HOST_IF_STORED);
    p.want_slots = HOST_GIVEN;
    struct host_slot slot = attached(host, "search", &p);
    struct meeting *m = meet();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int one, two;
        if (host_take_slot(host, &slot, 2, &one, NULL) != HARDY_OK ||
            host_take_slot(host, &slot, 2, &two, NULL) != HARDY_OK) {
            _exit(1);
        }
        word_store(&m->ready, 1);
        for (;;) {
            pause();
        }
    }
    while (!word_load(&m->ready)) {
        usleep(100);
    }
    int fd;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(host_take_slot(host, &slot, 2, &fd, &error), HARDY_E_FULL);
    assert_non_null(strstr(error.message, "all 2 concurrency slots of \"search\""));
    assert_int_equal(host_slots_taken(host, &slot, 2), 2);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(host_slots_taken(host, &slot, 2), 0);
    assert_int_equal(host_take_slot(host, &slot, 2, &fd, &error), HARDY_OK);
    close(fd);
    munmap(m, sizeof *m);
    host_close(host);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(test_made_on_first_use),
        TEST(test_words_are_shared),
        TEST(test_stored_settings_apply),
        TEST(test_nothing_stored),
        TEST(test_other_settings_are_refused),
        TEST(test_another_boot),
        TEST(test_foreign_files),
        TEST(test_maker_was_killed),
        TEST(test_names_are_bounded),
        TEST(test_other_settings),
        TEST(test_reset),
        TEST(test_list),
        TEST(test_sixteen_make_it_at_once),
        TEST(test_sixteen_names_at_once),
        TEST(test_slots_are_counted),
        TEST(test_the_dead_give_slots_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
