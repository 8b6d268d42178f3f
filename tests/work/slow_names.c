/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded: a name server that does not answer. */
#include <netdb.h>
#include <unistd.h>

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out) {
    (void)name, (void)service, (void)hints, (void)out;
    sleep(30);
    return EAI_AGAIN;
}
