/* SPDX-License-Identifier: Apache-2.0 */
/* The scenarios that are built in. docs/sim.md tells of each. */
#include "sim/scenario.h"

const struct scenario_builtin scenario_builtins[] = {
    {"3am", "about: seven minutes of 429 in the middle of the night\n"
            "duration: 15m\n"
            "clients: {count: 40, think: 20s}\n"
            "server: {capacity: 10/s, service_time: 2s}\n"
            "phases:\n"
            "  - {fail: rate_limit, from: 3m, for: 7m, retry_after: 5s}\n"},
    {"outage", "about: nobody answers for two minutes\n"
               "duration: 10m\n"
               "clients: {count: 60, think: 10s}\n"
               "server: {capacity: 12/s, service_time: 500ms}\n"
               "phases:\n"
               "  - {fail: down, from: 2m, for: 2m}\n"},
    {"hang", "about: for two minutes calls are taken and never answered\n"
             "duration: 12m\n"
             "clients: {count: 60, think: 10s}\n"
             "server: {capacity: 12/s, service_time: 500ms}\n"
             "phases:\n"
             "  - {fail: hang, from: 2m, for: 2m}\n"},
    {"brownout", "about: three minutes of a third of the capacity, and slow answers\n"
                 "duration: 12m\n"
                 "clients: {count: 60, think: 10s}\n"
                 "server: {capacity: 12/s, service_time: 500ms, queue: 5s}\n"
                 "phases:\n"
                 "  - {name: brownout, from: 2m, for: 3m, fail: slow_first, delay: 4s, capacity: "
                 "0.3}\n"},
    {"slow-start", "about: after a minute of outage the service is back with cold caches\n"
                   "duration: 10m\n"
                   "clients: {count: 60, think: 10s}\n"
                   "server: {capacity: 12/s, service_time: 500ms, queue: 2s}\n"
                   "phases:\n"
                   "  - {fail: down, from: 2m, for: 1m}\n"
                   "  - {name: cold, from: 3m, for: 30s, capacity: 0.2}\n"
                   "  - {name: warming, from: 3m30s, for: 30s, capacity: 0.5}\n"},
    {"429-storm", "about: the limit falls to a fifth, and everybody is told to come back after the "
                  "same time\n"
                  "duration: 12m\n"
                  "clients: {count: 60, think: 10s}\n"
                  "server: {capacity: 12/s, service_time: 1s, when_full: rate_limit, retry_after: "
                  "10s}\n"
                  "phases:\n"
                  "  - {name: lower limit, from: 2m, for: 4m, capacity: 0.2}\n"},
    {"herd", "about: a minute of outage, then all come back to a service with room for a tenth of "
             "them a second\n"
             "duration: 6m\n"
             "clients: {count: 75, think: 20s}\n"
             "server: {capacity: 7.5/s, service_time: 200ms}\n"
             "phases:\n"
             "  - {fail: down, from: 2m, for: 1m}\n"},
    {"metastable", "about: five minutes of a tenth of the capacity leave a queue of work that "
                   "nobody waits for any more\n"
                   "duration: 30m\n"
                   "clients: {count: 100, rate: 0.7/s}\n"
                   "server: {capacity: 100/s, service_time: 100ms, queue: 10m, abandoned: "
                   "executed}\n"
                   "phases:\n"
                   "  - {name: a tenth, from: 5m, for: 5m, capacity: 0.1}\n"},
    {"transactions", "about: for two minutes one transaction in ten fails; seven of ten such "
                     "failures pass, three do not\n"
                     "duration: 6m\n"
                     "clients: {count: 100, rate: 1/s}\n"
                     "server: {capacity: 150/s, service_time: 50ms}\n"
                     "phases:\n"
                     "  - {name: will not pass, from: 2m, for: 2m, fail: status, status: 400, "
                     "share: 0.03}\n"
                     "  - {name: passes, from: 2m, for: 2m, fail: status, status: 503, share: "
                     "0.07}\n"},
    {0},
};
