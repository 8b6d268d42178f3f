/* SPDX-License-Identifier: Apache-2.0 */
#include "io/notify_socket.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_MESSAGE = 4096, MAX_DESCRIPTORS = 16 };

int notify_socket_open(const char *path, char address[NOTIFY_ADDRESS_SIZE], hardy_error *error) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t len = sizeof name;
    int on = 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (str_copy(name.sun_path, sizeof name.sun_path, path)) {
        (void)unlink(path);
        str_copy(address, NOTIFY_ADDRESS_SIZE, path);
    } else {
        char hex[65];
        sha256_hex(path, strlen(path), hex);
        snprintf(address, NOTIFY_ADDRESS_SIZE, "@hardy-%s", hex);
        str_copy(name.sun_path, sizeof name.sun_path, address);
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));
        name.sun_path[0] = '\0';
    }
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&name, len) != 0) {
        (void)fail_errno(error, errno, path, "cannot make the socket");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void receive_control(struct msghdr *m, int *pid, unsigned *uid, int *fds, size_t *count) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred who;
            memcpy(&who, CMSG_DATA(c), sizeof who);
            *pid = who.pid;
            *uid = who.uid;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            *count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(c), *count * sizeof(int));
        }
    }
}

void notify_socket_receive(int fd, void (*fn)(void *ctx, int pid, unsigned uid, const char *lines),
                           void *ctx) {
    char text[MAX_MESSAGE + 1];
    for (;;) {
        _Alignas(struct cmsghdr) char
            control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
        struct iovec piece = {text, MAX_MESSAGE};
        struct msghdr m = {.msg_iov = &piece,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
        int fds[MAX_DESCRIPTORS], pid = 0;
        unsigned uid = (unsigned)-1;
        size_t count = 0;
        ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        if (n < 0)
            return;
        receive_control(&m, &pid, &uid, fds, &count);
        text[n] = '\0';
        if (!(m.msg_flags & MSG_TRUNC))
            fn(ctx, pid, uid, text);
        while (count > 0)
            close(fds[--count]);
    }
}
