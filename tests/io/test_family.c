/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are known again, found and watched without being children; and who says what to a
 * notify socket. Real ones, mostly /bin/sh. */
#include "../cmocka_all.h"

#include "io/family.h"
#include "io/notify_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static char dir[64], mark[80];

struct end {
    int count, code, signal;
};

static void on_exited(void *ctx, struct process *p, int code, int signal) {
    struct end *e = ctx;
    e->count++;
    e->code = code;
    e->signal = signal;
    process_free(p);
    loop_stop(loop);
}

/* A shell with the mark, which we are the parent of but do not watch. */
static int shell(const char *script) {
    int pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        char *const env[] = {mark, (char *)(uintptr_t) "PATH=/bin:/usr/bin", NULL};
        char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                              (char *)(uintptr_t)script, NULL};
        execve("/bin/sh", argv, env);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

/* Until so many carry the mark; ten seconds at most. */
static void wait_until(size_t count) {
    const struct process_family family = {0, "FAMILY_TEST="};
    for (int n = 0; n < 1000 && process_family_signal(loop, &family, 0) != count; n++)
        poll(NULL, 0, 10);
    assert_int_equal(process_family_signal(loop, &family, 0), count);
}

static void the_end_of_a_stranger_is_told(void **state) {
    static const struct process_events events = {NULL, on_exited};
    struct process_identity who;
    struct process *p;
    struct end end = {0};
    (void)state;
    int pid = shell("sleep 0.2");
    assert_int_equal(process_identify(loop, pid, &who), HARDY_OK);
    assert_int_equal(process_attach(loop, &who, &events, &end, &p, NULL), HARDY_OK);
    assert_int_equal(process_pid(p), pid);
    loop_run(loop);
    assert_int_equal(end.count, 1);
    assert_int_equal(end.code, -1);
    waitpid(pid, NULL, 0);
    assert_int_equal(process_attach(loop, &who, &events, &end, &p, NULL), HARDY_E_NOT_FOUND);
    assert_int_equal(process_identify(loop, pid, &who), HARDY_E_NOT_FOUND);
}

static void another_one_of_the_same_number_is_not_the_same(void **state) {
    static const struct process_events events = {NULL, on_exited};
    struct process_identity who;
    struct process *p;
    (void)state;
    int pid = shell("exec sleep 100");
    assert_int_equal(process_identify(loop, pid, &who), HARDY_OK);
    who.started--;
    assert_int_equal(process_attach(loop, &who, &events, NULL, &p, NULL), HARDY_E_NOT_FOUND);
    who.started++;
    assert_int_equal(process_attach(loop, &who, &events, NULL, &p, NULL), HARDY_OK);
    process_signal_itself(p, SIGKILL);
    process_free(p); /* forgotten: its end is told to nobody */
    waitpid(pid, NULL, 0);
}

static void a_family_is_found_wherever_it_went(void **state) {
    const struct process_family by_mark = {0, "FAMILY_TEST="};
    struct process_identity who;
    char rest[32];
    (void)state;
    int pid = shell("setsid sleep 100 & sleep 100 & wait");
    wait_until(3);
    const struct process_family by_group = {pid, NULL}, another = {0, "FAMILY_TEST=other"};
    assert_int_equal(process_family_signal(loop, &by_group, 0), 2); /* one has its own session */
    assert_int_equal(process_family_signal(loop, &another, 0), 0);
    assert_true(process_find(loop, "FAMILY_TEST=", &who, rest, sizeof rest));
    assert_int_equal(who.pid, pid); /* the oldest that leads a group */
    assert_string_equal(rest, "yes");
    assert_false(process_find(loop, "FAMILY_TEST=other", &who, rest, sizeof rest));
    assert_int_equal(process_in_family(pid, &by_mark), 1);
    assert_int_equal(process_in_family(getpid(), &by_mark), 0);
    assert_int_equal(process_family_signal(loop, &by_mark, SIGKILL), 3);
    wait_until(0); /* the one that is not reaped does not count */
    assert_int_equal(process_in_family(pid, &by_mark), -1);
    waitpid(pid, NULL, 0);
}

/* --- notify socket -----------------------------------------------------------------------------
 */

struct heard {
    int count, pid;
    unsigned uid;
    char lines[200];
};

static void on_lines(void *ctx, int pid, unsigned uid, const char *lines) {
    struct heard *h = ctx;
    h->count++;
    h->pid = pid;
    h->uid = uid;
    snprintf(h->lines, sizeof h->lines, "%s", lines);
}

static void say(const char *address, const char *text, int fd) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, address, strlen(address));
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));
    if (address[0] == '@')
        name.sun_path[0] = '\0';
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec piece = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr m = {.msg_name = &name, .msg_namelen = len, .msg_iov = &piece, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(sendmsg(s, &m, 0), (ssize_t)strlen(text));
    close(s);
}

static void what_is_said_is_heard_with_who_says_it(void **state) {
    char path[200], address[NOTIFY_ADDRESS_SIZE];
    struct heard h = {0};
    int barrier[2];
    (void)state;
    snprintf(path, sizeof path, "%s/notify", dir);
    int fd = notify_socket_open(path, address, NULL);
    assert_true(fd >= 0);
    assert_string_equal(address, path);
    notify_socket_receive(fd, on_lines, &h);
    assert_int_equal(h.count, 0);
    say(address, "READY=1\nSTATUS=well", -1);
    notify_socket_receive(fd, on_lines, &h);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.pid, getpid());
    assert_int_equal(h.uid, geteuid());
    assert_string_equal(h.lines, "READY=1\nSTATUS=well");
    /* Whoever waits at the barrier goes on when all before it was heard. */
    assert_int_equal(pipe(barrier), 0);
    say(address, "BARRIER=1", barrier[1]);
    close(barrier[1]);
    struct pollfd end = {barrier[0], POLLIN, 0};
    assert_int_equal(poll(&end, 1, 0), 0);
    notify_socket_receive(fd, on_lines, &h);
    assert_int_equal(poll(&end, 1, 0), 1);
    assert_true(end.revents & POLLHUP);
    close(barrier[0]);
    close(fd);
    /* What a killed one left there is in nobody's way. */
    fd = notify_socket_open(path, address, NULL);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
}

static void a_path_that_is_too_long_gets_a_name_that_is_not(void **state) {
    char path[300], address[NOTIFY_ADDRESS_SIZE], again[NOTIFY_ADDRESS_SIZE];
    struct heard h = {0};
    (void)state;
    snprintf(path, sizeof path, "%s/%0200d", dir, 1);
    int fd = notify_socket_open(path, address, NULL);
    assert_true(fd >= 0);
    assert_int_equal(address[0], '@');
    say(address, "READY=1", -1);
    notify_socket_receive(fd, on_lines, &h);
    assert_string_equal(h.lines, "READY=1");
    assert_int_equal(notify_socket_open(path, again, NULL), -1); /* it is taken */
    close(fd);
    fd = notify_socket_open(path, again, NULL);
    assert_true(fd >= 0);
    assert_string_equal(again, address); /* the next hardy listens at the same */
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_stranger_is_told),
        cmocka_unit_test(another_one_of_the_same_number_is_not_the_same),
        cmocka_unit_test(a_family_is_found_wherever_it_went),
        cmocka_unit_test(what_is_said_is_heard_with_who_says_it),
        cmocka_unit_test(a_path_that_is_too_long_gets_a_name_that_is_not),
    };
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(dir, sizeof dir, "/tmp/hardy-family.XXXXXX");
    if (!mkdtemp(dir))
        return 99;
    snprintf(mark, sizeof mark, "FAMILY_TEST=yes");
    signal(SIGPIPE, SIG_IGN);
    loop = loop_uv_new(&error);
    int failed = loop ? cmocka_run_group_tests(tests, NULL, NULL) : 99;
    loop_free(loop);
    rmdir(dir);
    return failed;
}
