/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_GATHER_H
#define HARDY_GATHER_H
/*
 * Graceful degradation: several components are asked at once, under one deadline, and what comes is
 * told as it is. Each component goes down one chain and never further than it must:
 *
 *     its sources in their order > the last good answer, while it is young > a static answer > none
 *
 * The answers together have a level, from full to failed, which never improves when a fresh answer
 * becomes an old or a static one.
 */
#include <hardy/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- what came, and how good it is ----------------------------------------------------------- */

/* What became of a component. */
typedef enum hardy_component_state {
    HARDY_COMPONENT_WAITING = 0, /* not told yet; never in what hardy_gather() gives */
    HARDY_COMPONENT_FRESH = 1,   /* a source has answered */
    HARDY_COMPONENT_CACHED = 2,  /* the last good answer, because no source has answered */
    HARDY_COMPONENT_STATIC = 3,  /* the static answer, because there is no other */
    HARDY_COMPONENT_MISSING = 4  /* nothing */
} hardy_component_state;
/* "fresh", "cached", ...; static storage, never NULL. */
HARDY_API const char *hardy_component_state_text(hardy_component_state state);

/* One answer. */
typedef struct hardy_component {
    const char *name;            /* borrowed */
    double weight;               /* share in the level; above 0 */
    bool critical;               /* missing, it fails the whole */
    hardy_component_state state; /* what stands in `data` */
    uint32_t source; /* FRESH: which source answered, 0 = the first, then the alternates */
    char *data;      /* NULL when missing; a NUL behind `len` */
    size_t len;      /* bytes of `data` */
    int64_t age;     /* ns since a source gave it: CACHED, and FRESH within `refresh`; else 0 */
    int64_t took;    /* ns until it was known, from the beginning of the gathering */
    char error[240]; /* why it is not fresh, or not from its first source; else "" */
} hardy_component;

/* How good the whole is; hardy_level_of() says by what. */
typedef enum hardy_level {
    HARDY_LEVEL_FULL = 0,
    HARDY_LEVEL_SLIGHT = 1,
    HARDY_LEVEL_MODERATE = 2,
    HARDY_LEVEL_MINIMAL = 3,
    HARDY_LEVEL_FAILED = 4
} hardy_level;
/* "full", "slight", ...; static storage, never NULL. */
HARDY_API const char *hardy_level_text(hardy_level level);

/* By shares of the weights. FULL: every component is fresh. SLIGHT: at least 0.8 have data, and
 * less than 0.3 have data that is cached or static. MODERATE: at least 0.6 have data. MINIMAL: at
 * least 0.3. FAILED: fewer, or a critical component is missing. Nothing to gather is FULL. */
HARDY_API hardy_level hardy_level_of(const hardy_component *components, size_t count);

/* --- the last good answers ------------------------------------------------------------------- */

/* A place for them. The functions are called from the threads of a gathering, several at once. */
typedef struct hardy_cache {
    void *ctx; /* borrowed */
    /* What is kept under `key`: malloc'd, with a NUL behind `len`, and its age in ns; NULL = none.
     * An answer of no bytes is an answer. */
    char *(*get)(void *ctx, const char *key, size_t *len, int64_t *age);
    void (*put)(void *ctx, const char *key, const void *data, size_t len); /* copied */
} hardy_cache;

/* One in memory: bounded, and what has not been used for longest goes first. Any thread. */
typedef struct hardy_lru hardy_lru;
/* `max_count` 1 to 100000 answers, `max_bytes` of keys and data together; an answer that is larger
 * than that is not kept. `env` copied, NULL = the system's. E_INVALID, E_NOMEM. */
HARDY_API HARDY_MUST_USE hardy_status hardy_lru_new(size_t max_count, size_t max_bytes,
                                                    const hardy_env *env, hardy_lru **out,
                                                    hardy_error *error);
HARDY_API void hardy_lru_free(hardy_lru *lru);         /* NULL is fine */
HARDY_API hardy_cache hardy_lru_cache(hardy_lru *lru); /* borrows it */
/* Forgets what is kept under keys that begin with `prefix` ("" = everything); returns how many. */
HARDY_API size_t hardy_lru_remove(hardy_lru *lru, const char *prefix);

/* --- gathering ------------------------------------------------------------------------------- */

/* What a source answers; only inside the function it was given to. */
typedef struct hardy_answer hardy_answer;
/* The data, copied; the last call counts. E_NOMEM. */
HARDY_API HARDY_MUST_USE hardy_status hardy_answer_set(hardy_answer *answer, const void *data,
                                                       size_t len);
/* Why there is none, for the component's `error`; one line. */
HARDY_API void hardy_answer_say(hardy_answer *answer, const char *format, ...) HARDY_PRINTF(2, 3);

/* Asks a source, in a thread of its own. `outcome` is preset to SUCCESS, effect DONE; a success
 * without data is an answer of no bytes. A thread cannot be stopped from outside: a long function
 * asks hardy_call_cancelled(), which is also true when nobody waits for the answer any more. */
typedef void (*hardy_fetch)(void *ctx, const hardy_call *call, hardy_answer *answer,
                            hardy_outcome *outcome);

/* Where a component's data comes from. */
typedef struct hardy_source {
    hardy_fetch fetch;
    void *ctx;          /* handed to `fetch` */
    hardy_guard *guard; /* NULL: called once, without any policy */
} hardy_source;

typedef struct hardy_component_config {
    size_t size;
    const char *name;            /* required */
    const hardy_source *sources; /* the first, and behind it the alternates, asked in this order */
    size_t source_count;         /* at least 1 */
    double weight;               /* 1 */
    bool critical;               /* false */
    bool fail_fast;  /* without an answer it ends the whole at once, and stops the others; false */
    bool fresh_only; /* accuracy, safety, compliance: no old and no static answer, ever; false */
    /* NULL = the name. Not an id of one request: the next request must find the answer. */
    const char *cache_key;
    int64_t ttl;       /* how old the last good answer may be that stands in; 1h; 0 = none does */
    int64_t refresh;   /* so young a good answer is fresh enough, and no source is asked; 0 */
    const void *fixed; /* the static answer; NULL = none */
    size_t fixed_len;  /* bytes of it */
} hardy_component_config;
HARDY_API void hardy_component_config_init(hardy_component_config *config, size_t size);

typedef struct hardy_gather_config {
    size_t size;
    const hardy_component_config *components;
    size_t count;                /* of components; 0 to 64 */
    int64_t deadline;            /* ns for all together; 10s; HARDY_NEVER */
    hardy_level max_degradation; /* beyond it the whole is an error; MODERATE */
    const hardy_cache *cache;    /* NULL = none */
    bool fresh; /* this time nothing old or static will do, as if all were `fresh_only`; false */
} hardy_gather_config;
HARDY_API void hardy_gather_config_init(hardy_gather_config *config, size_t size);

/* The result. Any thread, one at a time. */
typedef struct hardy_gathered hardy_gathered;

/*
 * Asks all components at once, one thread each, and returns when each has its answer or the
 * deadline has passed. What the configuration points to is borrowed until hardy_gathered_free().
 * `env` copied, NULL = the system's.
 *
 * OK; E_DEGRADED: the level is worse than `max_degradation`, `error` names the components that
 * failed; both give `*out`. E_INVALID names the field, E_NOMEM; `*out` is NULL then.
 */
HARDY_API HARDY_MUST_USE hardy_status hardy_gather(const hardy_gather_config *config,
                                                   const hardy_env *env, hardy_gathered **out,
                                                   hardy_error *error);
/* By hardy_level_of(). */
HARDY_API hardy_level hardy_gathered_level(const hardy_gathered *gathered);
/* Borrowed, in the order of the configuration. */
HARDY_API const hardy_component *hardy_gathered_components(const hardy_gathered *gathered,
                                                           size_t *count);
/* Waits for functions that run on although nobody waits for their answers. NULL is fine. */
HARDY_API void hardy_gathered_free(hardy_gathered *gathered);

#ifdef __cplusplus
}
#endif
#endif
