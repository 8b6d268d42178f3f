// SPDX-License-Identifier: Apache-2.0
// <hardy/durable.h> is a header of C++, too.
#include <hardy/durable.h>

int main() {
    hardy_durable_config config;
    hardy_action_options options;
    hardy_durable *durable = nullptr;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_durable_config_init(&config, sizeof config);
    hardy_action_options_init(&options, sizeof options);
    return hardy_durable_open(&config, &durable, &error) == HARDY_E_INVALID && options.lease == 30 * HARDY_SECOND ? 0 : 1;
}
