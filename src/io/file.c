/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "base/atomic.h"
#include "base/error.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static hardy_status read_to_end(int fd, const char *path, size_t max, struct buf *out,
                                hardy_error *error) {
    char piece[65536];
    size_t left = max;
    while (left > 0) {
        ssize_t n = read(fd, piece, left < sizeof piece ? left : sizeof piece);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return fail_errno(error, errno, path, "cannot read the file");
        }
        if (n == 0) {
            break;
        }
        if (!buf_append(out, piece, (size_t)n)) {
            if (out->len + (size_t)n > out->max) {
                return fail(error, HARDY_E_TOO_LARGE, path,
                            "the file is larger than the %zu bytes allowed", out->max);
            }
            return fail(error, HARDY_E_NOMEM, path, "no memory to read the file");
        }
        left -= (size_t)n;
    }
    return HARDY_OK;
}

hardy_status file_read(const char *path, struct buf *out, hardy_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(error, errno, path, "cannot open the file for reading");
    }
    hardy_status status = read_to_end(fd, path, SIZE_MAX, out, error);
    close(fd);
    return status;
}

hardy_status file_read_tail(const char *path, size_t max, struct buf *out, hardy_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(error, errno, path, "cannot open the file for reading");
    }
    off_t size = lseek(fd, 0, SEEK_END);
    hardy_status status = HARDY_OK;
    if (size < 0 || lseek(fd, size > (off_t)max ? size - (off_t)max : 0, SEEK_SET) < 0) {
        status = fail_errno(error, errno, path, "cannot find the end of the file");
    } else {
        status = read_to_end(fd, path, max, out, error);
    }
    close(fd);
    return status;
}

static bool write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* "." for a name without a slash; malloc'd. */
static char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return str_dup(".");
    }
    return slash == path ? str_dup("/") : str_ndup(path, (size_t)(slash - path));
}

hardy_status file_sync_name(const char *path, hardy_error *error) {
    char *dir = directory_of(path);
    if (!dir) {
        return fail(error, HARDY_E_NOMEM, path, "no memory");
    }
    hardy_status status = HARDY_OK;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        status = fail_errno(error, errno, dir, "cannot sync the directory");
    }
    if (fd >= 0) {
        close(fd);
    }
    free(dir);
    return status;
}

/* `keep`: the mode that it gets, whatever the umask says; 0: `mode` as the umask leaves it. */
static hardy_status replace(const char *path, const void *data, size_t len, bool sync, mode_t mode,
                            mode_t keep, hardy_error *error) {
    static atomic_word count; /* two threads may write the same path */
    char *temporary = str_format("%s.tmp.%ld.%llu", path, (long)getpid(),
                                 (unsigned long long)word_add(&count, 1));
    if (!temporary) {
        return fail(error, HARDY_E_NOMEM, path, "no memory");
    }
    hardy_status status = HARDY_OK;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        status = fail_errno(error, errno, temporary, "cannot create the file");
        free(temporary);
        return status;
    }
    bool ok = write_all(fd, data, len) && (keep == 0 || fchmod(fd, keep) == 0) &&
              (!sync || fsync(fd) == 0);
    int why = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (!ok) {
        status = fail_errno(error, why, path, "cannot write %zu bytes", len);
    } else if (rename(temporary, path) != 0) {
        status = fail_errno(error, errno, path, "cannot rename %s to it", temporary);
    } else if (sync) {
        status = file_sync_name(path, error);
    }
    if (status != HARDY_OK) {
        unlink(temporary);
    }
    free(temporary);
    return status;
}

hardy_status file_write(const char *path, const void *data, size_t len, bool sync,
                        hardy_error *error) {
    return replace(path, data, len, sync, 0600, 0, error);
}

static hardy_status write_through(const char *path, const void *data, size_t len,
                                  hardy_error *error) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return fail_errno(error, errno, path, "cannot open");
    }
    bool ok = write_all(fd, data, len);
    int why = errno;
    close(fd);
    return ok ? HARDY_OK : fail_errno(error, why, path, "cannot write %zu bytes", len);
}

hardy_status file_write_out(const char *path, const void *data, size_t len, unsigned mode,
                            hardy_error *error) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return *path ? replace(path, data, len, false, (mode_t)mode, 0, error)
                     : fail(error, HARDY_E_INVALID, NULL, "the name of the file is empty");
    }
    if (!S_ISREG(st.st_mode)) {
        return write_through(path, data, len, error);
    }
    char *target = realpath(path, NULL);
    if (!target) {
        return fail_errno(error, errno, path, "cannot find what it stands for");
    }
    hardy_status status = replace(target, data, len, false, 0600, st.st_mode & (mode_t)0777, error);
    free(target);
    return status;
}

hardy_status file_make_dirs(const char *path, unsigned mode, hardy_error *error) {
    char *prefix = str_dup(path);
    if (!prefix) {
        return fail(error, HARDY_E_NOMEM, path, "no memory");
    }
    hardy_status status = HARDY_OK;
    for (char *p = prefix; status == HARDY_OK && *p;) {
        p += strspn(p, "/");
        p += strcspn(p, "/");
        char end = *p;
        *p = '\0';
        struct stat st;
        if (prefix[0] && mkdir(prefix, mode) != 0) {
            /* What exists is fine, whatever mkdir says about it (EROFS, EACCES). */
            int why = errno;
            if (stat(prefix, &st) != 0) {
                status = fail_errno(error, why, prefix, "cannot make the directory");
            } else if (!S_ISDIR(st.st_mode)) {
                status = fail(error, HARDY_E_EXISTS, prefix, "not a directory");
            }
        }
        *p = end;
    }
    free(prefix);
    return status;
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

hardy_status file_remove(const char *path, hardy_error *error) {
    if (unlink(path) != 0 && errno != ENOENT) {
        return fail_errno(error, errno, path, "cannot remove the file");
    }
    return HARDY_OK;
}

bool file_on_network(const char *path) {
    static const unsigned long magic[] = {
        0x6969,     /* NFS */
        0xFF534D42, /* CIFS */
        0xFE534D42, /* SMB2 */
        0x517B,     /* SMB */
        0x01021997, /* 9p */
        0x65735546, /* FUSE: sshfs, s3fs, virtiofs */
        0x00C36400, /* Ceph */
        0x5346414F, /* AFS */
        0x6B414653, /* AFS of the kernel */
        0x73757245, /* Coda */
        0x0BD00BD0, /* Lustre */
        0x7461636F, /* OCFS2 */
        0x01161970, /* GFS2 */
        0x47504653, /* GPFS */
        0x786F4256, /* VirtualBox shared folders */
        0xBACBACBC, /* VMware shared folders */
    };
    struct statfs fs;
    char *place = str_dup(path);
    while (place && statfs(place, &fs) != 0) {
        char *up = errno == ENOENT && !str_eq(place, ".") && !str_eq(place, "/")
                       ? directory_of(place)
                       : NULL;
        free(place);
        place = up;
    }
    if (!place) {
        return false;
    }
    free(place);
    for (size_t i = 0; i < sizeof magic / sizeof magic[0]; i++) {
        if (((unsigned long)fs.f_type & 0xFFFFFFFFUL) == magic[i]) {
            return true;
        }
    }
    return false;
}

int file_temporary(const char *dir, hardy_error *error) {
    int fd = -1;
#ifdef O_TMPFILE
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
    if (fd < 0) {
        char *name = str_format("%s/hardy.XXXXXX", dir);
        fd = name ? mkostemp(name, O_CLOEXEC) : -1;
        if (fd >= 0) {
            unlink(name);
        }
        free(name);
    }
    if (fd < 0) {
        (void)fail_errno(error, errno, dir, "cannot make a temporary file in this directory");
    }
    return fd;
}

int file_memory(const void *data, size_t len, hardy_error *error) {
    int fd = memfd_create("hardy", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < len) {
        ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)done);
        if (n < 0 && errno != EINTR) {
            int errnum = errno;
            close(fd);
            errno = errnum;
            fd = -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0) {
        (void)fail_errno(error, errno, NULL, "cannot make a file in memory");
    }
    return fd;
}

void file_boot_id(char out[37]) {
    out[0] = '\0';
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (read(fd, out, 36) != 36) {
        out[0] = '\0';
    }
    out[36] = '\0';
    close(fd);
}

char *file_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return str_dup(".");
    }
    return slash == path ? str_dup("/") : str_ndup(path, (size_t)(slash - path));
}

hardy_status file_make_parent(const char *path, hardy_error *error) {
    char *folder = file_folder(path);
    hardy_status status = folder ? file_make_dirs(folder, 0700, error)
                                 : fail(error, HARDY_E_NOMEM, path, "no memory");
    free(folder);
    return status;
}
