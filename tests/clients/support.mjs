// SPDX-License-Identifier: Apache-2.0
// For the tests with the SDKs: a `hardy chaos llm` that can be begun anew at its address, a `hardy serve`
// before it, clients for both ways, and TAP.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

// Starts a hardy and waits until it says where it listens: [child, url].
function start(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(hardy, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    started.add(child);
    const hear = (data) => {
      said += data;
      const match = /^listening on (\S+)$/m.exec(said);
      if (match) resolve([child, match[1]]);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('exit', () => { started.delete(child); reject(new Error(`${args[0]} ended: ${said}`)); });
  });
}

// Its exit code.
export function stop(child) {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    child.removeAllListeners('exit');
    child.on('exit', (code) => { started.delete(child); resolve(code); });
    child.kill('SIGTERM');
  });
}

export let direct; // the upstream's url, from the first one on the same
export let through; // the gateway's
const journal = join(work, 'journal');
let upstream;

// A new upstream at the same address, with these faults, which has seen nobody yet.
export async function upstreamWith(faults = [], ...flags) {
  if (upstream) await stop(upstream);
  const file = join(work, 'faults.yaml');
  writeFileSync(file, `pace: 3ms\nthink: 5ms\nwords: 10\nfaults: [${faults.join(', ')}]\n`);
  const listen = direct ? new URL(direct).host : '127.0.0.1:0';
  [upstream, direct] = await start(['chaos', 'llm', '--listen', listen, '--faults', file, '--journal', journal, ...flags]);
}

// What the upstream has in its journal, a line a call that has ended.
export const entries = () => readFileSync(journal, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));

// A call is in the journal when it has ended there, which may be after its client knows.
export async function journalled(calls) {
  for (let i = 0; i < 100 && entries().length < calls; i += 1) await sleep(20);
  await sleep(100); // for one that should not be there
  return entries().length;
}

// The gateway before it. `guard`: that of both upstreams, as YAML; `more`: lines of other upstreams.
export async function serve(guard, more = '') {
  const file = join(work, 'hardy.yaml');
  writeFileSync(file, `state: memory
gateway: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
guards: {llm: &llm ${guard}, other: *llm}
upstreams:
  anthropic: {url: "${direct}", protocol: anthropic, guard: llm}
  openai: {url: "${direct}/v1", protocol: openai, guard: other}
${more}`);
  let gateway;
  [gateway, through] = await start(['serve', '-q', '-c', file]);
  return gateway;
}

export const clients = (base, options = {}) => ({
  anthropic: new Anthropic({ apiKey: 'sk-test', baseURL: base === direct ? direct : `${base}/anthropic`, ...options }),
  openai: new OpenAI({ apiKey: 'sk-test', baseURL: base === direct ? `${direct}/v1` : `${base}/openai`, ...options }),
});

export async function test(name, body) {
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

// Runs the tests of `body`, ends whatever was started, prints the plan.
export async function run(body) {
  try {
    await body();
  } finally {
    for (const child of started) child.kill('SIGKILL');
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`1..${count}`);
  process.exit(failed > 0 ? 1 : 0);
}

export const collect = async (stream) => {
  const all = [];
  for await (const event of stream) all.push(event);
  return all;
};
export const refusal = async (promise) => promise.then(
  () => assert.fail('it should have been refused'),
  (error) => ({ name: error.constructor.name, status: error.status, body: error.error }),
);
export const ask = (text) => ({ model: 'm', max_tokens: 100, messages: [{ role: 'user', content: text }] });

// The text of a stream; one that ended without its terminal event shows it.
const joined = (all, text, terminal) => all.map((e) => text(e) ?? '').join('') + (terminal ? '' : '...');

// One question to each API, streamed and not, as a program would ask it: the text, or a failure. Whether the text
// is all of the answer is not looked at.
export const texts = {
  messages: {
    streamed: async ({ anthropic }, question) => {
      const all = await collect(await anthropic.messages.create({ ...ask(question), stream: true }));
      return joined(all, (e) => e.delta?.text, all.at(-1)?.type === 'message_stop');
    },
    whole: async ({ anthropic }, question) => (await anthropic.messages.create(ask(question))).content[0].text,
  },
  chat: {
    streamed: async ({ openai }, question) => {
      const all = await collect(await openai.chat.completions.create({ ...ask(question), stream: true }));
      return joined(all, (e) => e.choices[0]?.delta?.content, all.at(-1)?.choices[0]?.finish_reason === 'stop');
    },
    whole: async ({ openai }, question) => (await openai.chat.completions.create(ask(question))).choices[0].message.content,
  },
  responses: {
    streamed: async ({ openai }, question) => {
      const all = await collect(await openai.responses.create({ model: 'm', input: question, stream: true }));
      const error = all.find((e) => e.type === 'error'); // its SDK hands it on as an event
      if (error) throw new Error(error.message);
      return joined(all, (e) => (e.type === 'response.output_text.delta' ? e.delta : ''),
        all.at(-1)?.type === 'response.completed');
    },
    whole: async ({ openai }, question) => (await openai.responses.create({ model: 'm', input: question })).output_text,
  },
};
