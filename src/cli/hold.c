/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hold.h"
#include "base/error.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_MEMORY ((size_t)1 << 20)
#define CHUNK ((size_t)64 << 10)

void hold_init(struct hold *h, const char *what, uint64_t max) {
    *h = (struct hold){.what = what, .fd = -1, .max = max};
    buf_init(&h->memory, IN_MEMORY);
}

void hold_free(struct hold *h) {
    buf_free(&h->memory);
    if (h->fd >= 0) {
        close(h->fd);
    }
    h->fd = -1;
    h->len = 0;
}

void hold_clear(struct hold *h) {
    buf_reset(&h->memory);
    if (h->fd >= 0) {
        close(h->fd);
        h->fd = -1;
    }
    h->len = 0;
}

static const char *directory(void) {
    const char *given = getenv("TMPDIR");
    return given && given[0] ? given : "/tmp";
}

static hardy_status write_at(const struct hold *h, const char *data, size_t len, uint64_t offset,
                             hardy_error *error) {
    while (len > 0) {
        ssize_t n = pwrite(h->fd, data, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return fail_errno(error, n < 0 ? errno : EIO, directory(), "cannot keep the %s",
                              h->what);
        }
        data += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return HARDY_OK;
}

static hardy_status spill(struct hold *h, hardy_error *error) {
    h->fd = file_temporary(directory(), error);
    if (h->fd < 0) {
        return error ? error->status : HARDY_E_IO;
    }
    hardy_status status = write_at(h, h->memory.data, h->memory.len, 0, error);
    if (status == HARDY_OK) {
        buf_free(&h->memory);
    } else {
        close(h->fd);
        h->fd = -1;
    }
    return status;
}

hardy_status hold_append(struct hold *h, const void *data, size_t len, hardy_error *error) {
    if (len == 0) {
        return HARDY_OK;
    }
    if (len > h->max - h->len) {
        return fail(error, HARDY_E_TOO_LARGE, NULL, "%s is longer than %llu bytes", h->what,
                    (unsigned long long)h->max);
    }
    hardy_status status = HARDY_OK;
    if (h->fd < 0 && len > IN_MEMORY - h->memory.len) {
        status = spill(h, error);
    }
    if (status == HARDY_OK && h->fd >= 0) {
        status = write_at(h, data, len, h->len, error);
    } else if (status == HARDY_OK && !buf_append(&h->memory, data, len)) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory to keep the %s", h->what);
    }
    if (status == HARDY_OK) {
        h->len += len;
    }
    return status;
}

ptrdiff_t hold_read(const struct hold *h, uint64_t offset, void *data, size_t size) {
    if (offset >= h->len) {
        return 0;
    }
    if (size > h->len - offset) {
        size = (size_t)(h->len - offset);
    }
    if (h->fd < 0) {
        memcpy(data, h->memory.data + offset, size);
        return (ptrdiff_t)size;
    }
    ssize_t n;
    do {
        n = pread(h->fd, data, size, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n;
}

static hardy_status write_all(int fd, const char *data, size_t len, const char *what,
                              hardy_error *error) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EPIPE) {
            return fail(error, HARDY_E_CLOSED, NULL, "nobody reads the %s", what);
        }
        if (n <= 0) {
            return fail_errno(error, n < 0 ? errno : EIO, NULL, "cannot write the %s", what);
        }
        data += n;
        len -= (size_t)n;
    }
    return HARDY_OK;
}

hardy_status hold_send(const struct hold *h, uint64_t from, int fd, hardy_error *error) {
    char *chunk = malloc(CHUNK);
    if (!chunk) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to write the %s", h->what);
    }
    /* Whoever made the descriptor non-blocking did it for all who have it; we have to wait. */
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && flags & O_NONBLOCK) {
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    hardy_status status = HARDY_OK;
    ptrdiff_t n;
    for (uint64_t at = from; status == HARDY_OK && at < h->len; at += (uint64_t)n) {
        n = hold_read(h, at, chunk, CHUNK);
        status = n > 0 ? write_all(fd, chunk, (size_t)n, h->what, error)
                       : fail_errno(error, n < 0 ? errno : EIO, directory(),
                                    "cannot read back the %s", h->what);
    }
    if (flags >= 0 && flags & O_NONBLOCK) {
        fcntl(fd, F_SETFL, flags);
    }
    free(chunk);
    return status;
}
