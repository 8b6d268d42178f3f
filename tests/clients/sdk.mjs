// SPDX-License-Identifier: Apache-2.0
// The official SDKs against `hardy chaos llm`, directly and through `hardy serve`, compared: what comes is the
// same, and what fails directly succeeds through the gateway, or fails loudly where it was silent. Prints TAP.
//
//     HARDY=build/hardy node sdk.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const hardy = process.env.HARDY;
const work = mkdtempSync(join(tmpdir(), 'hardy-sdk-'));
const env = { PATH: process.env.PATH, XDG_CONFIG_HOME: work, XDG_STATE_HOME: work, XDG_RUNTIME_DIR: work };
const started = new Set();
let count = 0;
let failed = 0;

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Starts a hardy and waits for what it says when it is ready.
function start(args, ready) {
  return new Promise((resolve, reject) => {
    const child = spawn(hardy, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    started.add(child);
    const hear = (data) => {
      said += data;
      if (ready.test(said)) resolve(child);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', (data) => { said += data; });
    child.on('exit', () => { started.delete(child); reject(new Error(`${args[0]} ended: ${said}`)); });
  });
}

function stop(child) {
  return new Promise((resolve) => {
    child.removeAllListeners('exit');
    child.on('exit', () => { started.delete(child); resolve(); });
    child.kill('SIGTERM');
  });
}

const upstreamPort = await freePort();
const gatewayPort = await freePort();
const direct = `http://127.0.0.1:${upstreamPort}`;
const through = `http://127.0.0.1:${gatewayPort}`;
const journal = join(work, 'journal');
let upstream;

// A new upstream at the same address, with these faults, which has seen nobody yet.
async function upstreamWith(faults = [], ...flags) {
  if (upstream) await stop(upstream);
  const file = join(work, 'faults.yaml');
  writeFileSync(file, `pace: 3ms\nthink: 5ms\nwords: 10\nfaults: [${faults.join(', ')}]\n`);
  upstream = await start(['chaos', 'llm', '--listen', `127.0.0.1:${upstreamPort}`, '--faults', file, '--journal',
    journal, ...flags], /listening on/);
}

const entries = () => readFileSync(journal, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));

// A call is in the journal when it has ended there, which may be after its client knows.
async function journalled(calls) {
  for (let i = 0; i < 100 && entries().length < calls; i += 1) await sleep(20);
  await sleep(100); // for one that should not be there
  return entries().length;
}

const clients = (base) => ({
  anthropic: new Anthropic({ apiKey: 'sk-test', baseURL: base === direct ? direct : `${through}/anthropic` }),
  openai: new OpenAI({ apiKey: 'sk-test', baseURL: base === direct ? `${direct}/v1` : `${through}/openai` }),
});

async function test(name, body) {
  count += 1;
  try {
    await body();
    console.log(`ok ${count} - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${count} - ${name}`);
    console.log(String(error.stack ?? error).replace(/^/gm, '#   '));
  }
}

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

const collect = async (stream) => {
  const all = [];
  for await (const event of stream) all.push(event);
  return all;
};
const refusal = async (promise) => promise.then(
  () => assert.fail('it should have been refused'),
  (error) => ({ name: error.constructor.name, status: error.status, body: error.error }),
);
const ask = (text) => ({ model: 'm', max_tokens: 100, messages: [{ role: 'user', content: text }] });
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
    await upstreamWith();
    const { anthropic, openai } = clients(through);
    const one = await anthropic.messages.create(ask('x')).withResponse();
    assert.match(one.response.headers.get('request-id'), /^req_/);
    assert.equal(one.request_id, one.response.headers.get('request-id'));
    assert.match(one.response.headers.get('anthropic-ratelimit-requests-reset'), /^\d{4}-/);
    assert.match(one.response.headers.get('x-hardy-request-id'), /^hr-/);
    assert.equal(one.response.headers.get('x-hardy-attempts'), '1');
    const two = await openai.chat.completions.create(ask('x')).withResponse();
    assert.match(two.response.headers.get('x-request-id'), /^req_/);
    assert.ok(two.response.headers.get('x-ratelimit-remaining-tokens'));
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
    const anthropic = new Anthropic({ apiKey: 'k', baseURL: `${through}/anthropic`, timeout: 6000, maxRetries: 0 });
    const began = Date.now();
    const told = await refusal(anthropic.messages.create(ask('x')));
    assert.equal(told.status, 529); // an answer, not the SDK's own time-out
    assert.ok(Date.now() - began < 6000, `after ${Date.now() - began} ms`);
  });
}

// What dies without hardy.
async function rescues() {
  const cases = [
    ['six times 529', ['{fail: overloaded, first: 6}']],
    ['five resets before the first byte', ['{fail: reset, first: 5}']],
    ['errors inside a 200', ['{fail: error_event, first: 1}']],
    ['a stream cut before its content', ['{fail: cut, first: 1}']],
    ['a stream reset before its content', ['{fail: reset_after, first: 1}']],
    ['events that are no JSON', ['{fail: malformed, first: 1}']],
  ];
  const streamed = {
    messages: async ({ anthropic }) => {
      const all = await collect(await anthropic.messages.create({ ...ask('rescue'), stream: true }));
      assert.equal(all.at(-1)?.type, 'message_stop');
      return all.map((e) => e.delta?.text ?? '').join('');
    },
    chat: async ({ openai }) => {
      const all = await collect(await openai.chat.completions.create({ ...ask('rescue'), stream: true }));
      assert.equal(all.at(-1)?.choices[0]?.finish_reason, 'stop');
      return all.map((e) => e.choices[0]?.delta?.content ?? '').join('');
    },
    responses: async ({ openai }) => {
      const all = await collect(await openai.responses.create({ model: 'm', input: 'rescue', stream: true }));
      assert.equal(all.at(-1)?.type, 'response.completed');
      return all.map((e) => (e.type === 'response.output_text.delta' ? e.delta : '')).join('');
    },
  };
  for (const [what, faults] of cases) {
    for (const [api, call] of Object.entries(streamed)) {
      await test(`${api}: ${what}: fails directly, not through hardy`, async () => {
        await upstreamWith(faults);
        await assert.rejects(call(clients(direct)));
        await upstreamWith(faults);
        assert.match(await call(clients(through)), /^You said "rescue".* END\.$/);
      });
    }
  }
  await test('half a document: an error directly, the whole through hardy', async () => {
    const faults = ['{fail: malformed, first: 1}'];
    await upstreamWith(faults);
    await assert.rejects(clients(direct).anthropic.messages.create(ask('rescue')));
    await upstreamWith(faults);
    const message = await clients(through).anthropic.messages.create(ask('rescue'));
    assert.match(message.content[0].text, /END\.$/);
  });
  await test('429 with retry-after is waited for here, once', async () => {
    await upstreamWith(['{fail: rate_limit, retry_after: 1s, first: 1}']);
    const began = Date.now();
    const anthropic = new Anthropic({ apiKey: 'k', baseURL: `${through}/anthropic`, maxRetries: 0 });
    await anthropic.messages.create(ask('limit'));
    assert.ok(Date.now() - began >= 1000);
    assert.equal(await journalled(2), 2);
  });
  await test('a spend limit is not tried again, by nobody', async () => {
    await upstreamWith(['{fail: status, status: 429, error_type: rate_limit_error, error_code: enforced_spend_limit_reached}']);
    const told = await refusal(clients(through).anthropic.messages.create(ask('spent')));
    assert.equal(told.status, 429);
    assert.equal(await journalled(1), 1);
  });
  // The SDKs take a stream that simply ends for a whole one.
  for (const [api, path] of [['messages', 7], ['chat', 5], ['responses', 8]]) {
    await test(`${api}: a cut after the first content: silent directly, an error through hardy`, async () => {
      const faults = [`{fail: cut, after_events: ${path}, first: 1}`];
      const read = async (base) => {
        const both = clients(base);
        if (api === 'messages') return collect(await both.anthropic.messages.create({ ...ask('cut'), stream: true }));
        if (api === 'chat') return collect(await both.openai.chat.completions.create({ ...ask('cut'), stream: true }));
        return collect(await both.openai.responses.create({ model: 'm', input: 'cut', stream: true }));
      };
      await upstreamWith(faults);
      const half = await read(direct);
      assert.ok(half.length > 0 && half.length <= path, 'directly: half an answer, and no error');
      await upstreamWith(faults);
      if (api === 'responses') { // its SDK hands the error on as an event
        assert.equal((await read(through).catch((error) => [{ type: 'error', error }])).at(-1).type, 'error');
      } else {
        await assert.rejects(read(through), /cannot be completed/);
      }
      assert.equal(await journalled(1), 1, 'nothing was tried again');
    });
  }
}

writeFileSync(join(work, 'hardy.yaml'), `state: memory
gateway: {listen: "127.0.0.1:${gatewayPort}"}
admin: {listen: "127.0.0.1:${await freePort()}"}
guards: {llm: &llm {retry: {base_delay: 20ms, max_delay: 200ms, max_retries: 20}, breaker: off}, other: *llm}
upstreams:
  anthropic: {url: "${direct}", protocol: anthropic, guard: llm}
  openai: {url: "${direct}/v1", protocol: openai, guard: other}
`);
try {
  await upstreamWith();
  const gateway = await start(['serve', '-q', '-c', join(work, 'hardy.yaml')], /listening on/);
  await comparisons();
  await rescues();
  await test('the gateway ends', async () => { await stop(gateway); });
} finally {
  for (const child of started) child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
}
console.log(`1..${count}`);
process.exit(failed > 0 ? 1 : 0);
