/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_FILE_STEP_H
#define WORK_FILE_STEP_H
/*
 * `hardy __file`: a step that keeps a text in a file whose name is that of its content, so that it
 * is one file however often and whenever the step is run again.
 *
 *   {"folder":"notes", "content":"text", "prefix":"note-", "suffix":".md"}
 *
 * The name is prefix, the first 16 hexadecimal digits of the content's SHA-256, suffix; the prefix
 * does not begin with a dot, neither holds a "/" or a control character, and each has at most 100
 * bytes. The folder is made when it is missing. It never leads elsewhere than it says: ".." has no
 * place in it; in a relative one (to the step's working directory) no part may be a symbolic link;
 * in an absolute one links are followed, for it names a place of the author's choice and such
 * places are often links (/var/run). The folder that was found is held open from then on, so that
 * exchanging it meanwhile leads nowhere else.
 *
 * The file (0600) appears with its whole content, synced, and so does its name; nothing is left of
 * one that was killed before. It is not written again when it is there with these bytes; another
 * file of that name, a link or a folder is an error. Of many at once, one makes it. (On file
 * systems without O_TMPFILE, such as NFS, several may say so, and a kill may leave NAME.tmp.*.)
 *
 * Standard output: {"path":"notes/note-1f..8.md", "name":"note-1f..8.md", "bytes":N,
 * "status":"created"|"already_exists"}. A full disk is PASSING, every other failure FAILED.
 */
#include "work/step_program.h"

void file_step(struct loop *loop, json_t *request, const struct step_given *given,
               struct step_answer *answer);
#endif
