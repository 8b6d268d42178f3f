/* SPDX-License-Identifier: Apache-2.0 */
/* Two components gathered at once. The far side of one goes away: its last good answer stands in,
 * and the level says so. */
#include <hardy/hardy.h>
#include <stdio.h>

static int away; /* the metrics' far side */

static void metrics(void *ctx, const hardy_call *call, hardy_answer *answer,
                    hardy_outcome *outcome) {
    (void)ctx;
    (void)call; /* a long one asks hardy_call_cancelled(call) */
    if (away) {
        hardy_answer_say(answer, "connection refused");
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    } else if (hardy_answer_set(answer, "load 4", 6) != HARDY_OK) {
        outcome->kind = HARDY_IGNORED;
    }
}

static void alerts(void *ctx, const hardy_call *call, hardy_answer *answer,
                   hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    if (hardy_answer_set(answer, "none", 4) != HARDY_OK)
        outcome->kind = HARDY_IGNORED;
}

static int gather(const hardy_gather_config *config) {
    hardy_gathered *gathered;
    hardy_error error;
    size_t count;
    hardy_error_init(&error, sizeof error);
    hardy_status status = hardy_gather(config, NULL, &gathered, &error);
    if (status != HARDY_OK)
        printf("%s\n", error.message);
    if (!gathered)
        return 1;
    const hardy_component *c = hardy_gathered_components(gathered, &count);
    printf("%s:", hardy_level_text(hardy_gathered_level(gathered)));
    for (size_t i = 0; i < count; i++)
        printf(" %s is %s%s%s,", c[i].name, hardy_component_state_text(c[i].state),
               c[i].data ? ": " : "", c[i].data ? c[i].data : "");
    printf(" that is all\n");
    hardy_gathered_free(gathered);
    return status == HARDY_OK ? 0 : 1;
}

int main(void) {
    const hardy_source sources[] = {{.fetch = metrics}, {.fetch = alerts}};
    hardy_component_config components[2];
    hardy_gather_config config;
    hardy_lru *lru;
    if (hardy_lru_new(100, 1 << 20, NULL, &lru, NULL) != HARDY_OK)
        return 1;
    const hardy_cache cache = hardy_lru_cache(lru);

    hardy_component_config_init(&components[0], sizeof components[0]);
    hardy_component_config_init(&components[1], sizeof components[1]);
    hardy_gather_config_init(&config, sizeof config);
    components[0].name = "metrics";
    components[0].sources = &sources[0];
    components[0].source_count = 1;
    components[1].name = "alerts";
    components[1].sources = &sources[1];
    components[1].source_count = 1;
    config.components = components;
    config.count = 2;
    config.cache = &cache;

    int failed = gather(&config);
    away = 1;
    failed += gather(&config);
    hardy_lru_remove(lru, "metrics");
    components[0].fresh_only = true;
    components[0].critical = true;
    failed += gather(&config) == 0; /* now it is an error */
    hardy_lru_free(lru);
    return failed;
}
