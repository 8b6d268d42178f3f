/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"
#include <fcntl.h>
#include <unistd.h>

bool terminal_in_foreground(void) {
    int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (tty < 0) {
        return false;
    }
    bool foreground = tcgetpgrp(tty) == getpgrp();
    close(tty);
    return foreground;
}
