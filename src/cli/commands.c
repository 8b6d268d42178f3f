/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "cli/command.h"
#include "cli/help.h"

extern const struct command command_actions;
extern const struct command command_advise;
extern const struct command command_chaos;
extern const struct command command_checks;
extern const struct command command_doctor;
extern const struct command command_ensure_step;
extern const struct command command_env;
extern const struct command command_exec;
extern const struct command command_file_step;
extern const struct command command_guards;
extern const struct command command_http_step;
extern const struct command command_incidents;
extern const struct command command_notify;
extern const struct command command_pause;
extern const struct command command_requests;
extern const struct command command_resume;
extern const struct command command_run;
extern const struct command command_selftest;
extern const struct command command_selftest_part;
extern const struct command command_serve;
extern const struct command command_sim;
extern const struct command command_state;
extern const struct command command_status;
extern const struct command command_supervise;
extern const struct command command_validate;
extern const struct command command_workflows;
extern const struct command command_wrap;

const struct command *const commands[] = {
    &command_serve,     &command_env,           &command_wrap,
    &command_status,    &command_requests,      &command_guards,
    &command_exec,      &command_actions,       &command_run,
    &command_workflows, &command_checks,        &command_supervise,
    &command_incidents, &command_pause,         &command_resume,
    &command_notify,    &command_sim,           &command_chaos,
    &command_advise,    &command_validate,      &command_doctor,
    &command_state,     &command_selftest,      &command_help,
    &command_manual,    &command_http_step,     &command_ensure_step,
    &command_file_step, &command_selftest_part, NULL,
};

const struct command *command_find(const char *name) {
    for (size_t i = 0; commands[i]; i++) {
        if (str_eq(commands[i]->name, name) ||
            (commands[i]->alias && str_eq(commands[i]->alias, name))) {
            return commands[i];
        }
    }
    return NULL;
}

int command_unknown(const struct options *o, const char *name) {
    const char *names[sizeof commands / sizeof *commands];
    size_t count = 0;
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->hidden) {
            names[count++] = commands[i]->name;
        }
    }
    const char *nearest = str_nearest(name, names, count);
    return nearest ? options_wrong(o, "unknown command \"%s\", did you mean \"%s\"?", name, nearest)
                   : options_wrong(o, "unknown command \"%s\"", name);
}
