/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_COLUMNS 80

bool terminal_in_foreground(void) {
    int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (tty < 0) {
        return false;
    }
    bool foreground = tcgetpgrp(tty) == getpgrp();
    close(tty);
    return foreground;
}

unsigned terminal_columns(int fd) {
    struct winsize size;
    return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                              : USUAL_COLUMNS;
}

bool terminal_is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) {
            const char *charset = strchr(value, '.');
            return charset && (strncasecmp(charset, ".utf-8", 6) == 0 ||
                               strncasecmp(charset, ".utf8", 5) == 0);
        }
    }
    return false;
}
