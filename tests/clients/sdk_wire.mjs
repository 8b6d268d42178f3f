// SPDX-License-Identifier: Apache-2.0
// What the official SDKs send arrives at the provider as they sent it, byte for byte; and of hundreds of calls at
// once, to a provider that fails in every way, none ends with half an answer. Prints TAP.
//
//     HARDY=build/hardy node sdk_wire.mjs
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { ask, clients, direct, run, serve, stop, test, texts, through, upstreamWith } from './support.mjs';

globalThis.File ??= File; // Node 18 has it, but not there

// Remembers each request as it came, and answers it, compressed where that is accepted.
const heard = [];
const recorder = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const { method, url, rawHeaders, headers } = request;
    heard.push({ method, url, rawHeaders, headers, body: Buffer.concat(parts) });
    const answer = JSON.stringify({ type: 'message', id: 'msg_1', content: [{ type: 'text', text: 'é'.repeat(2000) }] });
    const packed = /gzip/.test(headers['accept-encoding'] ?? '');
    response.writeHead(200, { 'content-type': 'application/json', ...(packed && { 'content-encoding': 'gzip' }) });
    response.end(packed ? gzipSync(answer) : answer);
  });
});
await new Promise((resolve) => { recorder.listen(0, '127.0.0.1', resolve); });
const recorded = `http://127.0.0.1:${recorder.address().port}`;

// Headers in their order, without those that belong to a connection, and `without`.
function headersOf(request, without) {
  const pairs = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i].toLowerCase();
    if (!['host', 'connection', 'content-length', 'transfer-encoding', ...without].includes(name)) {
      pairs.push(`${name}: ${request.rawHeaders[i + 1]}`);
    }
  }
  return pairs;
}

async function wire() {
  const future = { zeta: 1, alpha: { b: [1, 2.50, 1e3], a: null, é: '\u0000\ud83d\ude00</x>' } };
  const headers = { 'anthropic-beta': 'one-2025-01-01,two-2026-02-02', traceparent: '00-1-2-03', 'x-odd': 'a,  b; c="d"' };
  const sends = [
    ['messages', ({ anthropic }) => anthropic.messages.create({ ...ask('x'), ...future }, { headers })],
    ['messages, streamed', ({ anthropic }) => anthropic.messages.create({ ...ask('x'), ...future, stream: true }, { headers })],
    ['beta messages', ({ anthropic }) => anthropic.beta.messages.create({ ...ask('x'), betas: ['b1', 'b2'] })],
    ['counting tokens', ({ anthropic }) => anthropic.messages.countTokens({ model: 'm', messages: ask('x').messages })],
    ['a batch', ({ anthropic }) => anthropic.messages.batches.create({ requests: [{ custom_id: '1', params: ask('x') }] })],
    ['chat', ({ openai }) => openai.chat.completions.create({ ...ask('x'), ...future }, { headers })],
    ['chat, streamed', ({ openai }) => openai.chat.completions.create({ ...ask('x'), stream: true })],
    ['responses', ({ openai }) => openai.responses.create({ model: 'm', input: 'x', ...future })],
    ['embeddings', ({ openai }) => openai.embeddings.create({ model: 'm', input: 'x' })],
    ['a file', ({ openai }) => openai.files.create({ purpose: 'batch', file: new File(['a\r\n\0b'.repeat(5000)], 'é.jsonl') })],
    ['a list', ({ openai }) => openai.models.list({ query: { after: 'ä b&c', limit: 2 } })],
    ['a deletion', ({ openai }) => openai.files.delete('file-1')],
    ['400 KB', ({ anthropic }) => anthropic.messages.create(ask('ü'.repeat(200000)))],
  ];
  const pairs = [[recorded, `${recorded}/v1`], [`${through}/wire`, `${through}/wire-openai`]];
  for (const [what, send] of sends) {
    await test(`${what}: the provider hears what the SDK said`, async () => {
      const both = [];
      for (const [anthropic, openai] of pairs) {
        heard.length = 0;
        const options = { apiKey: 'sk-test', maxRetries: 0 };
        await send({ anthropic: new Anthropic({ ...options, baseURL: anthropic }), openai: new OpenAI({ ...options, baseURL: openai }) });
        assert.equal(heard.length, 1);
        both.push(heard[0]);
      }
      const [alone, hardy] = both;
      assert.equal(hardy.method, alone.method);
      assert.equal(hardy.url, alone.url);
      // Of a stream it asks for no compression, to follow it.
      const without = what.includes('streamed') ? ['accept-encoding'] : [];
      // The border between the parts of a file is chosen anew each time.
      const border = /(boundary=)?-*formdata-\S*?-?\d{6,}/g;
      const text = (request) => headersOf(request, without).join('\n').replace(border, '');
      assert.equal(text(hardy), text(alone));
      const bytes = (request) => request.body.toString('latin1').replace(border, '');
      assert.ok(bytes(hardy) === bytes(alone), 'the same body');
    });
  }
  await test('a compressed answer is read by the SDK', async () => {
    const anthropic = new Anthropic({ apiKey: 'k', baseURL: `${through}/wire` });
    const told = await anthropic.messages.create(ask('x')).withResponse();
    assert.equal(told.response.headers.get('content-encoding'), 'gzip');
    assert.equal(told.data.content[0].text, 'é'.repeat(2000));
  });
}

// Every way to fail, in a share of the attempts; what is chosen follows from the seed and the question.
const trouble = [
  '{fail: overloaded, share: 0.1}', '{fail: status, status: 500, share: 0.05}',
  '{fail: rate_limit, retry_after: 50ms, share: 0.01}', '{fail: reset, share: 0.08}', '{fail: cut, share: 0.05}',
  '{fail: truncated, share: 0.05}', '{fail: malformed, share: 0.05}', '{fail: error_event, share: 0.05}',
  '{fail: silence, delay: 150ms, after_events: 6, share: 0.05}', '{fail: cut, after_events: 6, share: 0.06}',
  '{fail: reset_after, after_events: 7, share: 0.03}', '{fail: error_event, after_events: 9, share: 0.03}',
  '{fail: malformed, after_events: 8, share: 0.02}',
];
const CALLS = 300;
const AT_ONCE = 20;

// How each of many calls ended: "all" of the answer, "half" without a word, or an error.
async function askMany(base, options) {
  const both = clients(base, options);
  const kinds = Object.values(texts).flatMap(({ streamed, whole }) => [['streamed', streamed], ['whole', whole]]);
  const ends = [];
  let next = 0;
  const worker = async () => {
    while (next < CALLS) {
      const i = next;
      next += 1;
      const [how, call] = kinds[i % kinds.length];
      const question = `${i} times`;
      const end = { how, i };
      try {
        const text = await call(both, question);
        end.said = text;
        end.as = text.startsWith(`You said "${question}". `) && text.endsWith(' END.') ? 'all' : 'half';
      } catch (error) {
        end.as = 'error';
        end.said = error.message;
      }
      ends.push(end);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const count = (as, how) => ends.filter((e) => e.as === as && (!how || e.how === how)).length;
  console.log(`# ${base === direct ? 'directly' : 'through hardy'}: ${count('all')} whole answers, ${count('error')} errors, ${count('half')} halves`);
  return { ends, count };
}

async function mixed() {
  await test('directly: halves that look like answers, and errors', async () => {
    await upstreamWith(trouble, '--seed', '7');
    const { count } = await askMany(direct, {});
    assert.ok(count('half') >= 10 && count('error') >= 10);
  });
  await test('through hardy: no half answers, no errors before an answer has begun', async () => {
    await upstreamWith(trouble, '--seed', '7');
    const { ends, count } = await askMany(through, { maxRetries: 0 });
    assert.deepEqual(ends.filter((e) => e.as === 'half'), []);
    assert.equal(count('all', 'whole'), CALLS / 2, 'who asked for no stream has an answer');
    assert.ok(count('error') >= 5, 'some streams broke in the middle');
    const ours = /cannot be completed|Overloaded|Failed, as rule/; // the gateway's event, or the provider's own
    assert.deepEqual(ends.filter((e) => e.as === 'error' && !ours.test(e.said)), []);
    assert.ok(count('error') <= CALLS / 10, 'and not more than the provider broke');
  });
}

await run(async () => {
  await upstreamWith();
  const gateway = await serve(`{retry: {base_delay: 10ms, max_delay: 100ms, budget: {floor: 1000/s}},
  breaker: {recovery_timeout: 100ms, close_ramp: 100ms}}`, `  wire: {url: "${recorded}", protocol: anthropic, guard: llm}
  wire-openai: {url: "${recorded}/v1", protocol: openai, guard: other}
`);
  await wire();
  await mixed();
  await test('the gateway ends', async () => assert.equal(await stop(gateway), 0));
  recorder.close();
});
