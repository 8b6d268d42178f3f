/* SPDX-License-Identifier: Apache-2.0 */
/* The models against the figures of the study they come from. */
#include "../cmocka_all.h"

#include "sim/model.h"

static struct sim_result run(const struct sim_settings *s) {
    struct sim_result r;
    assert_int_equal(sim_settings_check(s, NULL), HARDY_OK);
    assert_int_equal(sim_run(s, &r, NULL), HARDY_OK);
    sim_result_free(&r);
    return r;
}

static void near(double got, double wanted) {
    if (got < 0.95 * wanted || got > 1.05 * wanted) {
        fail_msg("%.4g is not within 5 %% of %.4g", got, wanted);
    }
}

static void full_jitter_spreads_the_herd(void **state) {
    (void)state;
    struct sim_settings s;
    sim_settings_init(&s, SIM_S, 10000);
    struct sim_result r = run(&s);
    near(r.calls_per_operation, 9.6);
    near(r.done_after_s, 29.6);
    near(r.peak_over_capacity_1s, 0.65);
    near(r.peak_over_capacity_100ms, 0.80);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_jitter_spreads_the_herd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
