// SPDX-License-Identifier: Apache-2.0
// The circuit breakers of opossum and cockatiel: nanoseconds a call that is let through, one that is
// refused, and one that fails while many others lie in the window.
import CircuitBreaker from 'opossum';
import {
    BrokenCircuitError,
    CircuitState,
    ConsecutiveBreaker,
    ExponentialBackoff,
    circuitBreaker,
    handleAll,
    retry,
    wrap,
} from 'cockatiel';

// As in guard.c: the best of many short pieces, so that other work on the machine disturbs it little.
async function measure(calls, fn) {
    let best = Infinity;
    const piece = Math.max(10, calls / 100);
    for (let done = 0; done < 5 * calls; done += piece) {
        const begun = process.hrtime.bigint();
        for (let i = 0; i < piece; i++) {
            await fn();
        }
        best = Math.min(best, Number(process.hrtime.bigint() - begun) / piece);
    }
    return best;
}

const tell = (name, ns) => console.log(`${name}\t${ns.toFixed(1)}`);
const works = async () => 1;
const fails = async () => {
    throw new Error('down');
};
const refused = (wanted) => (error) => {
    if (!wanted(error)) {
        throw error;
    }
};

{
    const closed = new CircuitBreaker(works);
    tell('opossum closed', await measure(100000, () => closed.fire()));
    closed.shutdown();
    const open = new CircuitBreaker(works);
    open.open();
    const isOpen = refused((error) => error.code === 'EOPENBREAKER');
    tell('opossum open', await measure(20000, () => open.fire().catch(isOpen)));
    open.shutdown();
    for (const fill of [1000, 10000, 100000]) {
        // It must not open, and nothing may leave its window.
        const breaker = new CircuitBreaker(fails, {
            volumeThreshold: 1e9,
            rollingCountTimeout: 600000,
            rollingCountBuckets: 10,
        });
        const isDown = refused((error) => error.message === 'down');
        const bucket = breaker.status;
        for (let i = 0; i < fill; i++) {
            bucket.increment('failures', 1);
        }
        const calls = fill > 10000 ? 10 : 100;
        tell(`opossum failure ${fill}`, await measure(calls, () => breaker.fire().catch(isDown)));
        breaker.shutdown();
    }
}
{
    const policy = () =>
        circuitBreaker(handleAll, { halfOpenAfter: 3600000, breaker: new ConsecutiveBreaker(5) });
    const closed = policy();
    tell('cockatiel closed', await measure(100000, () => closed.execute(works)));
    const open = policy();
    open.isolate();
    if (open.state !== CircuitState.Isolated) {
        throw new Error('cockatiel: not open');
    }
    const isOpen = refused((error) => error instanceof BrokenCircuitError || error.isIsolatedCircuitError);
    tell('cockatiel open', await measure(20000, () => open.execute(works).catch(isOpen)));
    const both = wrap(retry(handleAll, { maxAttempts: 5, backoff: new ExponentialBackoff() }), policy());
    tell('cockatiel retry and breaker', await measure(100000, () => both.execute(works)));
}
process.exit(0);
