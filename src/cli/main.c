/* SPDX-License-Identifier: Apache-2.0 */
/* The program: finds the command and runs it. */
#include "cli/command.h"
#include "cli/help.h"
#include "cli/say.h"
#include "io/shim.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A descriptor 0, 1 or 2 that is closed would be taken by the first file that is opened, and what
 * is meant for the terminal would be written into it. */
static bool fill_standard_descriptors(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
    return fd < 0 || close(fd) == 0;
}

/* What was printed must have arrived: a full disk behind `hardy ... > file` is a failure. */
static int flushed(const struct options *o, int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return code;
    }
    say(o, HARDY_LOG_ERROR, "cannot write to standard output: %s", strerror(errno));
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "__step") == 0) {
        return shim_main(argc, argv); /* a step's shim: a process of its own, see io/shim.h */
    }
    fill_standard_descriptors();
    struct options o;
    const struct globals defaults = {.level = HARDY_LOG_INFO};
    options_begin(&o, NULL, &defaults, argc, argv);
    if (options_next(&o) < 0) {
        return flushed(&o, o.exit);
    }
    if (o.argc == 0) {
        help_program(stderr);
        return EXIT_USAGE;
    }
    const struct command *command = command_find(o.argv[0]);
    if (!command) {
        return command_unknown(&o, o.argv[0]);
    }
    struct options own;
    options_begin(&own, command, &o.globals, o.argc, o.argv);
    int code = command->run(&own);
    return flushed(&own, code);
}
