/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"
#include "notify/notify.h"
#include <stdio.h>
#include <string.h>

static void first_problem(void *ctx, const hardy_error *problem) {
    hardy_error *error = ctx;
    if (error->status == HARDY_OK)
        *error = *problem;
}

static hardy_status read_all(struct settings *s, const char *yaml, hardy_error *error) {
    memset(s, 0, sizeof *s);
    hardy_error_init(error, sizeof *error);
    hardy_status status = config_load_bytes("t.yaml", yaml, strlen(yaml), &s->config, error);
    if (status == HARDY_OK)
        status = checks_read(s->config, &s->checks, error);
    if (status == HARDY_OK)
        status = notify_read(s->config, &s->targets, error);
    if (status == HARDY_OK)
        status = incident_settings_read(s->config, &s->incidents, error);
    if (status == HARDY_OK && incident_settings_check(s->config, &s->incidents, &s->checks,
                                                      &s->targets, first_problem, error) > 0)
        status = error->status;
    return status;
}

void settings_free(struct settings *s) {
    incident_settings_free(&s->incidents);
    notify_free(&s->targets);
    checks_free(&s->checks);
    config_free(s->config);
    memset(s, 0, sizeof *s);
}

void settings_read(struct settings *s, const char *yaml) {
    hardy_error error;
    if (read_all(s, yaml, &error) != HARDY_OK)
        fail_msg("%s: %s", error.where, error.message);
}

hardy_status settings_try(const char *yaml, hardy_error *error) {
    struct settings s;
    hardy_status status = read_all(&s, yaml, error);
    settings_free(&s);
    return status;
}

const struct service_settings *service_of(const struct settings *s, const char *name) {
    const struct service_settings *service = incident_service(&s->incidents, name);
    assert_non_null(service);
    return service;
}
