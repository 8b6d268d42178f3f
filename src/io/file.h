/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_FILE_H
#define IO_FILE_H
/* Whole files: read with a maximum, written by renaming; directories; which file systems. */
#include "base/buf.h"
#include <hardy/env.h>

/* Appends the file's bytes to `out`; E_NOT_FOUND, E_TOO_LARGE (the buffer's maximum), E_IO. */
hardy_status file_read(const char *path, struct buf *out, hardy_error *error);
/* The last `max` bytes of a file that may be growing. */
hardy_status file_read_tail(const char *path, size_t max, struct buf *out, hardy_error *error);
/* Writes `path`.tmp.PID.N and renames it: readers see the old file or the new one. `sync`: also
 * fsync of the file and its directory. Mode 0600. */
hardy_status file_write(const char *path, const void *data, size_t len, bool sync,
                        hardy_error *error);
/* The same for a file that a person names, who may name anything: a pipe, a terminal and a device
 * are written to, a link is followed, a file that is there keeps its mode, a new one has `mode` as
 * the umask leaves it. E_INVALID: the name is empty. */
hardy_status file_write_out(const char *path, const void *data, size_t len, unsigned mode,
                            hardy_error *error);
hardy_status file_make_dirs(const char *path, unsigned mode, hardy_error *error); /* mkdir -p */
/* What stands before the last slash: "." without one, "/" at the front. Malloc'd; NULL = no memory.
 */
char *file_folder(const char *path);
/* Syncs the directory that `path` lies in: the name is there, or gone, also after a power cut. */
hardy_status file_sync_name(const char *path, hardy_error *error);
/* The folders that a file of that path needs, 0700. */
hardy_status file_make_parent(const char *path, hardy_error *error);
bool file_exists(const char *path);
hardy_status file_remove(const char *path, hardy_error *error); /* not there is fine */
/* Whether the path lies on a network file system (NFS, CIFS, 9p, FUSE ...); a path that does not
 * exist yet is judged by its directory. */
bool file_on_network(const char *path);
/* An anonymous temporary file in the directory `dir`, for reading and writing; -1 on failure. */
int file_temporary(const char *dir, hardy_error *error);
/* A file that is nowhere, with these bytes, to be read from its beginning; -1 on failure. */
int file_memory(const void *data, size_t len, hardy_error *error);
/* The kernel's boot id as 36 characters; "" when there is none. */
void file_boot_id(char out[37]);
#endif
