// SPDX-License-Identifier: Apache-2.0
// A guard around a lambda. C++ exceptions do not pass through the library: the wrapper keeps one and throws it again.
#include <cstdio>
#include <exception>
#include <hardy/hardy.h>
#include <memory>
#include <stdexcept>

namespace {
struct free_guard {
    void operator()(hardy_guard *guard) const { hardy_guard_free(guard); }
};
using guard_ptr = std::unique_ptr<hardy_guard, free_guard>;

template <class Function> struct guarded_call {
    Function &function;
    std::exception_ptr thrown;

    static void enter(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
        auto *self = static_cast<guarded_call *>(ctx);
        try {
            self->function(*call, *outcome);
        } catch (...) {
            self->thrown = std::current_exception();
            outcome->kind = HARDY_FAILURE;
            outcome->permanent = true;
        }
    }
};

template <class Function> hardy_status run(hardy_guard *guard, Function function, hardy_error *error) {
    guarded_call<Function> call{function, nullptr};
    hardy_status status = hardy_guard_run(guard, call.enter, &call, HARDY_NEVER, nullptr, error);
    if (call.thrown)
        std::rethrow_exception(call.thrown);
    return status;
}

int failures;
void expect(bool holds, const char *what) {
    if (!holds) {
        std::fprintf(stderr, "not so: %s\n", what);
        failures++;
    }
}
} // namespace

int main() {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    config.name = "lambda";
    retry.base_delay = HARDY_MILLISECOND;
    config.retry = &retry;
    config.breaker = &breaker;

    hardy_guard *made = nullptr;
    expect(hardy_guard_new(&config, nullptr, &made, &error) == HARDY_OK, "a guard is made");
    guard_ptr guard(made);

    int answer = 0;
    hardy_status status = run(
        made,
        [&answer](const hardy_call &call, hardy_outcome &outcome) {
            if (call.attempt < 3) {
                outcome.kind = HARDY_FAILURE;
                outcome.effect = HARDY_EFFECT_NONE;
            } else {
                answer = 42;
            }
        },
        &error);
    expect(status == HARDY_OK && answer == 42, "the third attempt answers");

    bool caught = false;
    try {
        status = run(made, [](const hardy_call &, hardy_outcome &) { throw std::runtime_error("bad"); }, &error);
    } catch (const std::runtime_error &) {
        caught = true;
    }
    expect(caught, "an exception comes out of the guard");

    expect(alignof(hardy_op) == 16 && sizeof(hardy_op) % 16 == 0, "storage of an operation is aligned as in C");
    return failures == 0 ? 0 : 1;
}
