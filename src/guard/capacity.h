/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_CAPACITY_H
#define GUARD_CAPACITY_H
/*
 * What a fleet of callers may ask of a server whose capacity is known: the rules that explain warns
 * by and the simulator plans with.
 */
#include <hardy/guard.h>

/* Seconds that the longest wait should have at least, 2N/C. With full jitter N callers wait half of
 * it on average, so 2N / max_delay come back in a second. `hardy sim --model S` shows it. */
double capacity_least_max_delay(double clients, double capacity);
/* So many attempts of an operation, the first one counted, leave utilisation * attempts below 1:
 * from there on retries can keep an outage up that has lost its cause (N. Bronson et al.,
 * "Metastable Failures in Distributed Systems", HotOS 2021). 0: not even one. `utilisation` above
 * 0. */
uint32_t capacity_most_attempts(double utilisation);
/* Calls a second, retries included, that budgets let through of so much load. Each of `sharers` has
 * one of its own: a process, where it is not shared by those of a host. */
double capacity_of_budget(const hardy_budget_config *budget, double load, double sharers);
/* A rate of four fifths of the capacity, and the burst with which no second has more than the
 * capacity, or no minute where a second takes less than ten: *window. E_INVALID: less than one in a
 * minute. */
hardy_status capacity_rate(double capacity, hardy_rate_config *rate, int64_t *window);
#endif
