/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_NOTIFY_SOCKET_H
#define IO_NOTIFY_SOCKET_H
/* The receiving end of sd_notify: a datagram socket that a service writes "READY=1" and its like
 * to. The kernel tells who sent it. */
#include <hardy/env.h>

/* `path` may be longer than a socket's name can be: then an abstract one stands for it. `address`
 * gets what goes into NOTIFY_SOCKET. A socket left there by another process is replaced. -1 and
 * `error` on failure. */
#define NOTIFY_ADDRESS_SIZE 120
int notify_socket_open(const char *path, char address[NOTIFY_ADDRESS_SIZE], hardy_error *error);
/* Every message that waits: `fn` gets its lines and who sent them. Descriptors that came with it
 * are closed afterwards: whoever sent BARRIER=1 waits for that. */
void notify_socket_receive(int fd, void (*fn)(void *ctx, int pid, unsigned uid, const char *lines),
                           void *ctx);
#endif
