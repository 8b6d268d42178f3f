// SPDX-License-Identifier: Apache-2.0
// The official SDKs against `hardy chaos llm`, directly and through `hardy serve`, compared: what comes is the
// same, and what fails directly succeeds through the gateway, or fails loudly where it was silent. Prints TAP.
//
//     HARDY=build/hardy node sdk.mjs
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ask, clients, collect, direct, entries, journalled, refusal, run, serve, stop, test, texts, through, upstreamWith,
} from './support.mjs';

// What two runs of one call may differ in: identifiers and times.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  const dropped = new Set(['id', 'created', 'created_at', 'completed_at', '_request_id', 'request_id', 'item_id',
    'tool_call_id', 'call_id', 'obfuscation']);
  return Object.fromEntries(Object.entries(value).filter(([key]) => !dropped.has(key)).map(([key, v]) => [key, plain(v)]));
}

// The same call directly and through the gateway gives the same.
async function same(name, call) {
  await test(name, async () => {
    const results = [];
    for (const base of [direct, through]) {
      await upstreamWith();
      results.push(plain(await call(clients(base))));
    }
    assert.deepEqual(results[1], results[0]);
    assert.ok(JSON.stringify(results[0]).length > 10, 'the call gave something to compare');
  });
}

const tool = { name: 'search', description: 'x', input_schema: { type: 'object', properties: { query: { type: 'string' } } } };
const chatTool = { type: 'function', function: { name: 'search', parameters: tool.input_schema } };

async function comparisons() {
  await same('messages', ({ anthropic }) => anthropic.messages.create(ask('one')));
  await same('messages, streamed', async ({ anthropic }) => collect(await anthropic.messages.create({ ...ask('two'), stream: true })));
  await same('the stream helper', async ({ anthropic }) => anthropic.messages.stream(ask('three')).finalMessage());
  await same('a tool', ({ anthropic }) => anthropic.messages.create({ ...ask('four'), tools: [tool] }));
  await same('a tool, streamed', ({ anthropic }) => anthropic.messages.stream({ ...ask('five'), tools: [tool] }).finalMessage());
  await same('a tool\'s result', ({ anthropic }) => anthropic.messages.create({
    ...ask('six'),
    tools: [tool],
    messages: [{ role: 'user', content: 'six' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'search', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'found' }] }],
  }));
  await same('counting tokens', ({ anthropic }) => anthropic.messages.countTokens({ model: 'm', messages: ask('x').messages }));
  await same('models', async ({ anthropic }) => (await anthropic.models.list()).data);
  await same('a bad request', ({ anthropic }) => refusal(anthropic.messages.create({ model: 'm', max_tokens: 10 })));
  await same('unknown fields', ({ anthropic }) => anthropic.messages.create({ ...ask('seven'), from_the_future: { b: 1, a: [2] } }));
  await same('chat', ({ openai }) => openai.chat.completions.create(ask('one')));
  await same('chat, streamed', async ({ openai }) => collect(await openai.chat.completions.create({ ...ask('two'), stream: true })));
  await same('chat, streamed with usage', async ({ openai }) => collect(await openai.chat.completions.create({
    ...ask('three'), stream: true, stream_options: { include_usage: true },
  })));
  await same('chat with a tool', ({ openai }) => openai.chat.completions.create({ ...ask('four'), tools: [chatTool] }));
  await same('chat with a tool, streamed', async ({ openai }) => collect(await openai.chat.completions.create({
    ...ask('five'), tools: [chatTool], stream: true,
  })));
  await same('the stream helper of chat', ({ openai }) => openai.chat.completions.stream(ask('six')).finalChatCompletion());
  await same('responses', ({ openai }) => openai.responses.create({ model: 'm', input: 'one' }));
  await same('responses, streamed', async ({ openai }) => collect(await openai.responses.create({ model: 'm', input: 'two', stream: true })));
  await same('models of openai', async ({ openai }) => (await openai.models.list()).data);
  await same('a bad chat', ({ openai }) => refusal(openai.chat.completions.create({ model: 'm' })));

  await test('a wrong key', async () => {
    const results = [];
    for (const base of [direct, through]) {
      await upstreamWith([], '--require-key', 'sk-another');
      const both = clients(base);
      results.push([plain(await refusal(both.anthropic.messages.create(ask('x')))),
        plain(await refusal(both.openai.chat.completions.create(ask('x'))))]);
    }
    assert.deepEqual(results[1], results[0]);
    assert.equal(results[1][0].status, 401);
  });
  await test('headers of the provider, and hardy\'s own', async () => {
    const own = ['x-hardy-request-id', 'x-hardy-upstream', 'x-hardy-attempts', 'x-hardy-overhead-us'];
    const differ = ['request-id', 'x-request-id', 'date', 'content-length', 'openai-processing-ms',
      'x-ratelimit-reset-requests', 'x-ratelimit-reset-tokens', 'anthropic-ratelimit-requests-reset',
      'anthropic-ratelimit-tokens-reset', 'anthropic-ratelimit-input-tokens-reset',
      'anthropic-ratelimit-output-tokens-reset'];
    for (const call of [
      ({ anthropic }) => anthropic.messages.create(ask('x')),
      ({ anthropic }) => anthropic.messages.create({ ...ask('x'), stream: true }),
      ({ openai }) => openai.chat.completions.create(ask('x')),
      ({ openai }) => openai.responses.create({ model: 'm', input: 'x', stream: true }),
    ]) {
      const heads = [];
      for (const base of [direct, through]) {
        await upstreamWith();
        const response = await call(clients(base)).asResponse();
        await response.text();
        heads.push(Object.fromEntries(response.headers));
      }
      const [alone, both] = heads;
      for (const name of own) assert.ok(both[name], name);
      assert.equal(both['x-hardy-attempts'], '1');
      for (const [name, value] of Object.entries(alone)) {
        assert.ok(name in both, `${name} is kept`);
        if (!differ.includes(name)) assert.equal(both[name], value, name);
      }
      assert.deepEqual(Object.keys(both).filter((name) => !own.includes(name) && !(name in alone)), []);
    }
    const told = await clients(through).anthropic.messages.create(ask('x')).withResponse();
    assert.match(told.request_id, /^req_/);
    assert.equal(told.request_id, told.response.headers.get('request-id'));
  });
  await test('an abort in the middle reaches the upstream', async () => {
    await upstreamWith([], '--pace', '100ms');
    const { anthropic } = clients(through);
    const stream = await anthropic.messages.create({ ...ask('leave'), stream: true });
    const seen = [];
    for await (const event of stream) {
      seen.push(event);
      if (event.type === 'content_block_delta') break; // the SDK aborts the request
    }
    stream.controller.abort();
    let ended;
    for (let i = 0; i < 40 && !ended; i += 1) {
      await sleep(50);
      ended = entries()[0];
    }
    assert.ok(ended, 'the upstream noticed');
    assert.ok(ended.events < 10, `it had sent ${ended.events} events`);
  });
  await test('the SDK\'s own time-out is kept', async () => {
    await upstreamWith(['{fail: hang}']);
    const { anthropic } = clients(through, { timeout: 6000, maxRetries: 0 });
    const began = Date.now();
    const told = await refusal(anthropic.messages.create(ask('x')));
    assert.equal(told.status, 529); // an answer, not the SDK's own time-out
    assert.ok(Date.now() - began < 6000, `after ${Date.now() - began} ms`);
  });
}

const whole = /^You said "rescue".* END\.$/;

// What dies without hardy.
async function rescues() {
  const cases = [
    ['six times 529', '{fail: overloaded, first: 6}'],
    ['five resets before the first byte', '{fail: reset, first: 5}'],
    ['four times 429 with retry-after', '{fail: rate_limit, retry_after: 100ms, first: 4}'],
    ['a stream cut before its content', '{fail: cut, first: 1}'],
    ['a stream reset before its content', '{fail: reset_after, first: 1}'],
    ['an answer shorter than its framing says', '{fail: truncated, first: 1}'],
    ['events that are no JSON', '{fail: malformed, first: 1}'],
    ['an error inside a 200', '{fail: error_event, first: 1}', 'streamed'],
  ];
  for (const [what, fault, only] of cases) {
    for (const [api, calls] of Object.entries(texts)) {
      for (const how of only ? [only] : Object.keys(calls)) {
        await test(`${api}, ${how}: ${what}: no answer directly, all of it through hardy`, async () => {
          await upstreamWith([fault]);
          assert.doesNotMatch(await calls[how](clients(direct), 'rescue').catch(String), whole);
          await upstreamWith([fault]);
          assert.match(await calls[how](clients(through, { maxRetries: 0 }), 'rescue'), whole);
        });
      }
    }
  }
  await test('429 with retry-after is waited for here, once', async () => {
    await upstreamWith(['{fail: rate_limit, retry_after: 1s, first: 1}']);
    const began = Date.now();
    await texts.messages.whole(clients(through, { maxRetries: 0 }), 'limit');
    assert.ok(Date.now() - began >= 1000);
    assert.equal(await journalled(2), 2);
  });
  await test('a spend limit is not tried again, by nobody', async () => {
    await upstreamWith(['{fail: status, status: 429, error_type: rate_limit_error, error_code: enforced_spend_limit_reached}']);
    const told = await refusal(clients(through).anthropic.messages.create(ask('spent')));
    assert.equal(told.status, 429);
    assert.equal(await journalled(1), 1);
  });
  await test('a reset while tokens are counted: the SDK comes again, as it does directly', async () => {
    for (const base of [direct, through]) {
      await upstreamWith(['{fail: reset, first: 1, path: /count_tokens}']);
      const told = await clients(base).anthropic.messages.countTokens({ model: 'm', messages: ask('count').messages });
      assert.ok(told.input_tokens > 0);
    }
  });
}

// Nothing can take back what the client has: the gateway says that it is not whole.
async function breaks() {
  const kinds = {
    cut: 'silent', truncated: 'loud', reset_after: 'loud', error_event: 'loud', malformed: 'loud',
  };
  for (const [kind, directly] of Object.entries(kinds)) {
    for (const [api, after] of [['messages', 7], ['chat', 5], ['responses', 8]]) {
      await test(`${api}: ${kind} after the first content: ${directly} directly, an error through hardy`, async () => {
        const faults = [`{fail: ${kind}, after_events: ${after}, first: 1}`];
        await upstreamWith(faults);
        const alone = texts[api].streamed(clients(direct), 'rescue');
        if (directly === 'silent') {
          assert.match(await alone, /^You said .*\.\.\.$/); // half an answer, and no error
        } else {
          await assert.rejects(alone);
        }
        await upstreamWith(faults);
        await assert.rejects(texts[api].streamed(clients(through), 'rescue'),
          kind === 'error_event' ? undefined : /cannot be completed/);
        assert.equal(await journalled(1), 1, 'nothing was tried again');
      });
    }
  }
}

await run(async () => {
  await upstreamWith();
  const gateway = await serve('{retry: {base_delay: 20ms, max_delay: 200ms, max_retries: 20}, breaker: off}');
  await comparisons();
  await rescues();
  await breaks();
  await test('the gateway ends', async () => assert.equal(await stop(gateway), 0));
});
