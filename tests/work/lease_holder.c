/* SPDX-License-Identifier: Apache-2.0 */
/* lease_holder DATABASE: takes its writer lease, as a process in the middle of a write, and stops.
 * Goes on for as long as it takes to let it go. */
#include "store/lease.h"
#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv) {
    struct lease lease;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (argc != 2 || lease_open(&lease, argv[1], "holder", &error) != HARDY_OK ||
        lease_take(&lease, &error) != HARDY_OK) {
        fprintf(stderr, "lease_holder: %s\n", error.message);
        return 1;
    }
    printf("held\n");
    fflush(stdout);
    raise(SIGSTOP);
    lease_give(&lease);
    lease_close(&lease);
    return 0;
}
