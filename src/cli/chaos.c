/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy chaos`: a server of language models that fails as told, for trying things out. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "chaos/llm.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/session.h"
#include "http/url.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const int64_t drain_limit = 2 * HARDY_SECOND;

enum {
    OPT_LISTEN = 1,
    OPT_FAULTS,
    OPT_JOURNAL,
    OPT_REQUIRE_KEY,
    OPT_SEED,
    OPT_PACE,
    OPT_THINK,
    OPT_WORDS
};

static const struct option_row rows[] = {
    {OPT_LISTEN, "listen", 0, "HOST:PORT", "where to serve (127.0.0.1:0, a free port)"},
    {OPT_FAULTS, "faults", 0, "FILE", "llm: what fails, how and when; nothing without it"},
    {OPT_JOURNAL, "journal", 0, "FILE", "write a line of JSON for each request; begun anew"},
    {OPT_REQUIRE_KEY, "require-key", 0, "KEY", "answer 401 to who does not send this key"},
    {OPT_SEED, "seed", 0, "N", "llm: in place of the file's seed"},
    {OPT_PACE, "pace", 0, "DURATION", "llm: in place of the file's pace, between two events"},
    {OPT_THINK, "think", 0, "DURATION", "llm: in place of the file's think, before an answer"},
    {OPT_WORDS, "words", 0, "N", "llm: in place of the file's words, of an answer"},
    {0},
};

struct chaos { /* what the command line says, and what runs */
    const struct options *o;
    const char *listen, *faults_path, *journal_path, *replay_path;
    const char *set[OPT_WORDS + 1]; /* settings of the file, by option */
    struct http_authority address;
    struct faults faults;
    struct chaos_journal *replay;
    struct chaos_llm_options options;
    struct session session; /* the loop and its signals */
    struct chaos_llm *llm;
    int journal; /* descriptor; -1 */
    int exit;
};

/* --- the journal ---------------------------------------------------------------------------- */

/* A journal with a hole would replay something else: the first line that cannot be written ends it.
 */
static void on_line(void *ctx, const char *line, size_t len) {
    struct chaos *c = ctx;
    while (c->journal >= 0 && len > 0) {
        ssize_t n = write(c->journal, line, len);
        if (n < 0 && errno != EINTR) {
            say(c->o, HARDY_LOG_ERROR, "%s: cannot write: %s; the journal ends here",
                c->journal_path, strerror(errno));
            close(c->journal);
            c->journal = -1;
            c->exit = EXIT_FAILED;
        } else if (n > 0) {
            line += n;
            len -= (size_t)n;
        }
    }
}

static hardy_status open_journal(struct chaos *c, hardy_error *error) {
    if (!c->journal_path) {
        return HARDY_OK;
    }
    c->journal = open(c->journal_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    c->options.journal = on_line;
    c->options.ctx = c;
    return c->journal >= 0
               ? HARDY_OK
               : fail_errno(error, errno, c->journal_path, "cannot open it for writing");
}

static hardy_status read_replay(struct chaos *c, hardy_error *error) {
    struct buf bytes;
    buf_init(&bytes, CHAOS_JOURNAL_MAX);
    hardy_status status = file_read(c->replay_path, &bytes, error);
    if (status == HARDY_OK) {
        status = chaos_journal_read(c->replay_path, bytes.data ? bytes.data : "", bytes.len,
                                    &c->replay, error);
    }
    buf_free(&bytes);
    return status;
}

/* --- what the command line says ------------------------------------------------------------- */

/* Port 0 is a free one here, which an address elsewhere cannot have. */
static hardy_status parse_listen(struct chaos *c, hardy_error *error) {
    size_t len = strlen(c->listen);
    if (len > 2 && str_eq(c->listen + len - 2, ":0")) {
        len -= 2;
    }
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status = http_authority_parse(c->listen, len, &c->address, &why);
    return status == HARDY_OK ? HARDY_OK
                              : fail(error, status, "--listen",
                                     "%s; expected HOST:PORT such as 127.0.0.1:8080", why.message);
}

static hardy_status read_faults(struct chaos *c, hardy_error *error) {
    hardy_status status = c->faults_path ? faults_load(c->faults_path, &c->faults, error)
                                         : faults_defaults(&c->faults);
    static const struct {
        int option;
        const char *key, *flag;
    } settings[] = {{OPT_SEED, "seed", "--seed"},
                    {OPT_PACE, "pace", "--pace"},
                    {OPT_THINK, "think", "--think"},
                    {OPT_WORDS, "words", "--words"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings && status == HARDY_OK; i++) {
        if (c->set[settings[i].option]) {
            status = schema_set(&faults_section, settings[i].key, c->set[settings[i].option],
                                settings[i].flag, true, &c->faults, error);
        }
    }
    return status;
}

/* What a server of thousands of connections needs, as far as it may be had. */
static void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* --- running -------------------------------------------------------------------------------- */

static void on_gone(void *ctx) {
    struct chaos *c = ctx;
    const struct chaos_counts *n = chaos_llm_counts(c->llm);
    uint64_t faults = 0;
    for (int i = 0; i < FAULT_KINDS; i++) {
        faults += n->faults[i];
    }
    say(c->o, HARDY_LOG_INFO,
        "%llu requests, %llu faults; complete %llu, failed as told %llu, refused %llu, left by the "
        "client %llu, stopped %llu",
        (unsigned long long)n->requests, (unsigned long long)faults,
        (unsigned long long)n->complete, (unsigned long long)n->as_told,
        (unsigned long long)n->refused, (unsigned long long)n->client_left,
        (unsigned long long)n->shut_down);
    if (n->unknown > 0) {
        say(c->o, HARDY_LOG_WARNING, "%llu requests are not in %s; they had no fault",
            (unsigned long long)n->unknown, c->replay_path);
    }
    loop_stop(c->session.loop);
}

static void on_interrupt(void *ctx) {
    struct chaos *c = ctx;
    chaos_llm_close(c->llm, time_add(loop_now(c->session.loop), drain_limit), on_gone, c);
}

static void print_address(const struct chaos *c) {
    char host[HTTP_AUTHORITY_SIZE], url[HTTP_AUTHORITY_SIZE + 16];
    struct http_authority address = c->address;
    address.port = chaos_llm_port(c->llm);
    http_authority_format(&address, 0, host);
    snprintf(url, sizeof url, "http://%s", host);
    if (c->o->globals.json) {
        struct buf text;
        struct json_out j;
        buf_init(&text, 4096);
        json_out_init(&j, &text, 0);
        json_out_object(&j);
        json_out_key(&j, "listening");
        json_out_string(&j, url);
        json_out_key(&j, "port");
        json_out_int(&j, address.port);
        json_out_object_end(&j);
        puts(text.data ? text.data : "{}");
        buf_free(&text);
    } else {
        printf("listening on %s\nexport ANTHROPIC_BASE_URL=%s\nexport OPENAI_BASE_URL=%s/v1\n", url,
               url, url);
    }
    fflush(stdout);
}

static hardy_status start(struct chaos *c, hardy_error *error) {
    hardy_status status = parse_listen(c, error);
    if (status == HARDY_OK) {
        status = read_faults(c, error);
    }
    if (status == HARDY_OK && c->replay_path) {
        status = read_replay(c, error);
    }
    if (status == HARDY_OK) {
        status = open_journal(c, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    c->session.loop = loop_uv_new(error);
    if (!c->session.loop) {
        return HARDY_E_NOMEM;
    }
    c->options.host = c->address.host;
    c->options.port = c->address.port;
    c->options.faults = &c->faults;
    c->options.replay = c->replay;
    return chaos_llm_open(c->session.loop, &c->options, &c->llm, error);
}

static int serve(struct chaos *c) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = start(c, &error);
    if (status == HARDY_OK) {
        session_on_interrupt(&c->session, on_interrupt, c);
        print_address(c);
        loop_run(c->session.loop);
    } else {
        say_error(c->o, &error);
        c->exit = status == HARDY_E_NOT_FOUND ? EXIT_USAGE : session_exit(status);
    }
    session_close(&c->session);
    if (c->journal >= 0) {
        close(c->journal);
    }
    chaos_journal_free(c->replay);
    faults_free(&c->faults);
    return c->exit;
}

/* --- the command ---------------------------------------------------------------------------- */

static int run(struct options *o) {
    struct chaos c = {.o = o, .listen = "127.0.0.1:0", .journal = -1};
    const char *only_llm = NULL;
    int id;
    chaos_llm_options_init(&c.options);
    while ((id = options_next(o)) > 0) {
        c.set[id] = o->value;
        if (id == OPT_FAULTS || id >= OPT_SEED) {
            only_llm = o->name;
        }
    }
    if (id < 0) {
        return o->exit;
    }
    c.listen = c.set[OPT_LISTEN] ? c.set[OPT_LISTEN] : c.listen;
    c.faults_path = c.set[OPT_FAULTS];
    c.journal_path = c.set[OPT_JOURNAL];
    c.options.require_key = c.set[OPT_REQUIRE_KEY];
    const char *what = o->argc > 0 ? o->argv[0] : "";
    bool replays = str_eq(what, "replay");
    if (!replays && !str_eq(what, "llm")) {
        return options_wrong(
            o, o->argc ? "\"%s\" is not one of llm, replay" : "llm or replay JOURNAL is needed%s",
            what);
    }
    if (o->argc != (replays ? 2 : 1)) {
        return options_wrong(o, replays ? "replay needs one JOURNAL%s" : "%s takes nothing more",
                             replays ? "" : what);
    }
    if (replays && only_llm) {
        return options_wrong(o, "--%s goes with llm; replay takes all of it from its journal",
                             only_llm);
    }
    c.replay_path = replays ? o->argv[1] : NULL;
    return serve(&c);
}

const struct command command_chaos = {
    .name = "chaos",
    .synopsis = "llm [--listen HOST:PORT] [--faults FILE] [--journal FILE] [--require-key KEY]\n"
                "replay JOURNAL [--listen HOST:PORT] [--journal FILE] [--require-key KEY]",
    .summary = "serve language models that fail as told, to try out gateways and agents",
    .details =
        "llm speaks the Messages API of Anthropic and the Chat Completions and Responses APIs of "
        "OpenAI, streamed or not, with calls of tools. What it answers follows from the last "
        "message of the user and ends with END. Without --faults nothing fails.\n\n"
        "The rules of the fault file are asked in their order; docs/chaos.md tells of them, hardy "
        "validate checks them. What is decided depends on the seed, on the call's key (its header "
        "x-chaos-key, else its path and body) and on how often that key was asked for: the same "
        "calls meet the same faults.\n\n"
        "replay gives each attempt of each key the fault that it had in a journal, whatever the "
        "time.\n\n"
        "Runs until INT or TERM, and ends with 0. With -v it tells of each request.",
    .examples =
        "echo 'faults: [{fail: overloaded, first: 2}]' | hardy validate -\n"
        "hardy chaos llm --listen 127.0.0.1:8080 --faults faults.yaml --journal calls.jsonl    # "
        "needs a fault file, and Ctrl-C\n"
        "hardy chaos replay calls.jsonl --listen 127.0.0.1:8080    # needs a journal, and Ctrl-C",
    .options = rows,
    .run = run,
};
