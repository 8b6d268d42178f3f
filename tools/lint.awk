# SPDX-License-Identifier: Apache-2.0
# Reads C files and prints one line for each rule they break: calls outside their rooms, includes
# through a closed door, and functions that no file may use. Variables: table (the room table), root
# (a prefix that is cut off every file name). Comments and strings are taken away before anything is judged.

function report(where, text) { printf "%s:%d: %s\n", name, where, text }

# Calls that only the files matching `where` may make; `scope` says which files are judged at all.
function rule(scope, where, why, names,    i, n, list) {
    n = split(names, list, " ")
    for (i = 1; i <= n; i++) {
        rule_scope[list[i]] = scope
        rule_where[list[i]] = where
        rule_why[list[i]] = why
    }
}

# Reads the rows `| \`src/ROOM/\` | what | doors |` and closes the doors transitively.
function read_table(    line, cells, room, i, n, list, again, a, b, c) {
    while ((getline line < table) > 0) {
        if (line !~ /^\| *`src\//) continue
        split(line, cells, "|")
        room = cells[2]
        gsub(/[ `]|src\/|\/ *`/, "", room)
        rooms[room] = 1
        n = split(cells[4], list, /[ ,`]+/)
        for (i = 1; i <= n; i++)
            if (list[i] == "everything") all[room] = 1
            else if (list[i] != "" && list[i] != "libc") door[room, list[i]] = 1
    }
    close(table)
    for (again = 1; again;) {
        again = 0
        for (a in rooms)
            for (b in rooms) {
                if (!((a, b) in door)) continue
                for (c in rooms)
                    if (((b, c) in door) && !((a, c) in door)) {
                        door[a, c] = 1
                        again = 1
                    }
            }
    }
}

BEGIN {
    read_table()
    library = "^src/(base|policy|guard)/"
    program = "^src/"
    rule(program, "^src/io/|^src/base/clock[.]c$",
         "reads the time: only src/io and src/base/clock.c do; take `now` as an argument",
         "time clock_gettime gettimeofday timespec_get ftime clock times uv_hrtime uv_now uv_update_time")
    rule(program, "^src/io/|^src/base/clock[.]c$",
         "sleeps or sets a timer: only src/io and src/base/clock.c do; ask the loop",
         "sleep usleep nanosleep clock_nanosleep alarm ualarm setitimer timer_create timerfd_create timerfd_settime pause thrd_sleep uv_sleep uv_timer_start")
    rule(program, "^src/io/|^src/base/clock[.]c$|^src/guard/thread[.]c$",
         "waits: only src/io (and the futex of src/guard/thread.c) does; ask the loop",
         "wait waitpid waitid wait3 wait4 poll ppoll select pselect epoll_wait epoll_pwait sigwait sigwaitinfo sigtimedwait sigsuspend sem_wait sem_timedwait pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait pthread_barrier_wait cnd_wait cnd_timedwait syscall uv_run uv_cond_wait uv_cond_timedwait uv_sem_wait uv_barrier_wait")
    rule(program, "^src/io/|^src/base/(prng|clock)[.]c$",
         "draws chance: only src/base/prng.c does; a seed makes a run repeatable",
         "rand srand rand_r random srandom random_r drand48 lrand48 mrand48 erand48 arc4random arc4random_uniform getrandom getentropy uv_random")
    rule(program, "^src/(cli|config)/|^src/io/spawn[.]c$",
         "touches the environment: only src/cli and src/config do (and src/io/spawn.c, for PATH); hand the value down",
         "getenv secure_getenv setenv unsetenv putenv clearenv uv_os_getenv uv_os_setenv")
    rule(program, "^$", "runs a shell without a deadline: use the processes of src/io", "system popen")
    rule(program, "^src/io/", "makes a process: only src/io does",
         "fork vfork clone posix_spawn posix_spawnp execl execle execlp execv execve execvp execvpe fexecve uv_spawn")
    rule(library, "^$", "does not belong in the library: no printing, no ending the process, no signal handlers",
         "printf vprintf puts putchar perror abort exit _exit _Exit quick_exit atexit on_exit signal sigaction")
    rule("", "^$", "is banned: it cannot bound what it writes, or cannot report an error; see base/str.h, base/buf.h and base/parse.h",
         "strcpy stpcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll atof scanf fscanf vscanf vfscanf alloca tmpnam tempnam mktemp")
    rule(program, "^$", "leaves the descriptor open in children: use the form that takes a CLOEXEC flag",
         "pipe accept dup creat epoll_create inotify_init signalfd_create")
    n = split("open openat open64 socket socketpair pipe2 accept4 epoll_create1 eventfd timerfd_create signalfd memfd_create inotify_init1 mkostemp fopen", list, " ")
    for (i = 1; i <= n; i++) opens[list[i]] = 1
    n = split("assert complex ctype errno fcntl features fenv float inttypes iso646 langinfo limits locale math poll pthread sched search semaphore setjmp signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings sysexits syslog tgmath threads time unistd wchar wctype", list, " ")
    for (i = 1; i <= n; i++) libc["<" list[i] ".h>"] = 1
}

FNR == 1 {
    name = FILENAME
    if (index(name, root) == 1) name = substr(name, length(root) + 1)
    in_comment = 0
    pending = ""
    seen_cloexec = 0
    here = ""
    if (name ~ /^src\/[^\/]+\//) {
        split(name, parts, "/")
        here = parts[2]
        if (!(here in rooms) && !(here in unknown)) {
            unknown[here] = 1
            report(1, "room src/" here "/ is not in the table of docs/ARCHITECTURE.md: say there what lives in it and which doors it may use")
        }
    } else if (name ~ /^include\//) here = "include"
}

/\t/ { report(FNR, "tab: C is indented with spaces") }

/^[ \t]*#[ \t]*include/ && !in_comment {
    judge_include($0)
    next
}

function judge_include(line,    target, room) {
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", line)
    if (line ~ /^"/) {
        split(line, parts, "\"")
        target = parts[2]
        if (here == "") return
        if (here == "include") {
            report(FNR, "\"" target "\": a public header includes <hardy/...> and the standard library only")
            return
        }
        if (target !~ /\//) {
            report(FNR, "\"" target "\": write the room too, as in \"" here "/" target "\"")
            return
        }
        room = target
        sub(/\/.*/, "", room)
        if (room == here || (here in all)) return
        if (!((here, room) in door))
            report(FNR, "\"" target "\": src/" here "/ has no door to src/" room "/ (docs/ARCHITECTURE.md)")
        return
    }
    sub(/>.*/, ">", line)
    if (line == "<stdatomic.h>" && name != "src/base/atomic.h" && name ~ /^src\//)
        report(FNR, line ": every atomic goes through base/atomic.h")
    if (line ~ /^<hardy\//) return
    if (here !~ /^(include|base|policy|guard)$/ || (line in libc)) return
    if (here == "include" || line !~ /^<(sys|linux)\//)
        report(FNR, line ": the library (src/base, src/policy, src/guard, include) needs nothing but libc")
}

# The line without comments and with empty strings; remembers an open comment.
function strip(line,    out, at, what, i, c) {
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (!at) return out
            line = substr(line, at + 2)
            in_comment = 0
            out = out " "
        }
        if (!match(line, /["']|\/\*|\/\//)) return out line
        what = substr(line, RSTART, RLENGTH)
        out = out substr(line, 1, RSTART - 1)
        line = substr(line, RSTART + RLENGTH)
        if (what == "//") return out
        if (what == "/*") {
            in_comment = 1
            continue
        }
        for (i = 1; i <= length(line); i++) {
            c = substr(line, i, 1)
            if (c == "\\") i++
            else if (c == what) break
        }
        if (what == "\"" && substr(line, 1, i - 1) ~ /e/) out = out "\"e\""
        else out = out what what
        line = substr(line, i + 1)
    }
    return out
}

{
    code = strip($0)
    if (code ~ /CLOEXEC/) seen_cloexec = FNR
    rest = code
    before = ""
    defines = code ~ /^static /
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        word = substr(rest, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", word)
        before = before substr(rest, 1, RSTART - 1)
        if (defines) { # a static function of this file, not the C library's
            own[word] = name
            defines = 0
        } else if (before !~ /(->|[.])[ \t]*$/ && own[word] != name) judge_call(word)
        before = before substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
    }
    # A call that opens a descriptor is judged when its statement is complete.
    if (pending != "") {
        statement = statement code
        if (code ~ /;|\{[ \t]*$/) {
            # Flags in a variable are taken from the lines before.
            by_variable = statement !~ /(O|SOCK|EFD|TFD|MFD)_[A-Z]/ && seen_cloexec && FNR - seen_cloexec < 25
            if (statement !~ /CLOEXEC/ && !by_variable && !(pending == "fopen" && statement ~ /"e"/))
                report(pending_line, pending "() without a CLOEXEC flag: every child would inherit the descriptor")
            pending = ""
        }
    }
}

function judge_call(word) {
    if ((word in rule_scope) && (rule_scope[word] == "" || name ~ rule_scope[word]) && name !~ rule_where[word])
        report(FNR, word "() " rule_why[word])
    if (word ~ /^(__atomic_|__sync_|atomic_)/ && name ~ /^src\// && name != "src/base/atomic.h")
        report(FNR, word "(): every atomic goes through base/atomic.h")
    if ((word in opens) && name ~ /^src\// && pending == "") {
        pending = word
        pending_line = FNR
        statement = ""
    }
}
