// SPDX-License-Identifier: Apache-2.0
// hardy_durable.mjs: durable actions and checkpoints of a running `hardy serve`, in one file to copy.
//
//     import {action, checkpoint} from './hardy_durable.mjs'
//
//     const receipt = await action('order-12345', {account: 4711, amount: 5},
//                                  (a) => bank.charge(4711, 5, {idempotencyKey: a.idempotencyKey}))
//
// runs the function once under that key, however often it is asked for: a success is replayed, whoever asks. While it
// runs its lease is renewed in the background, as long as it does not keep the event loop from turning. When this
// process dies in it, nobody knows whether it took effect: once the lease has run out, the next action() throws
// InDoubt (or, with {inDoubt: 'rerun'}, runs it again).
//
//     const state = checkpoint('agent/7')
//     const notes = await state.load({done: 0})     // remembers the version it has read
//     await state.save({done: 1})                   // throws Changed when somebody else has saved in between
//
// What ends the function decides what is recorded: it returns, done; it throws, failed (it may be begun again; a
// property `retryable` of the error is recorded); it throws Unknown, nothing: it is in doubt once the lease has run
// out.
//
// It finds the daemon at HARDY_ADMIN_URL (http://127.0.0.1:4274) and its token in HARDY_TOKEN_FILE, or where hardy
// keeps it. Node 18 or newer, nothing besides. Run as a program it shows an agent loop that can be killed anywhere:
//
//     node hardy_durable.mjs RUN --ledger FILE [--steps N] [--pause SECONDS] [--lease SECONDS]
//                                [--in-doubt ask|rerun|look]
import {randomUUID} from 'node:crypto'
import {appendFileSync, existsSync, readFileSync, realpathSync} from 'node:fs'
import {homedir, hostname} from 'node:os'
import {basename, dirname, join} from 'node:path'
import {setTimeout as sleep} from 'node:timers/promises'
import {fileURLToPath} from 'node:url'
import {parseArgs} from 'node:util'

// `status` is HTTP's (0: no answer), `kind` the problem's type, `retryAfter` seconds.
export class HardyError extends Error {
  constructor(detail, status = 0, kind = '', retryAfter = undefined) {
    super(detail)
    Object.assign(this, {name: new.target.name, status, kind, retryAfter})
  }
}
// It was begun, its owner fell silent, and nobody knows whether it took effect: find out, then resolve().
export class InDoubt extends HardyError {}
// Somebody else's lease on it runs, for another `retryAfter` seconds unless it is renewed.
export class Running extends HardyError {}
// Somebody else has taken it over, or has settled it, while this process was silent for longer than its lease.
export class Fenced extends HardyError {}
// The key was used for other parameters.
export class OtherParameters extends HardyError {}
// The checkpoint is not the one that was read.
export class Changed extends HardyError {}
// No daemon, or its state is full or has failed.
export class Unavailable extends HardyError {}
// For an action's function to throw: it does not know whether it took effect.
export class Unknown extends Error {}

const kinds = {'in-doubt': InDoubt, running: Running, fenced: Fenced, 'other-parameters': OtherParameters,
  'other-version': Changed}

// The text of the first of hardy's token files that there is.
export function findToken(env = process.env) {
  if (env.HARDY_TOKEN_FILE) return readFileSync(env.HARDY_TOKEN_FILE, 'utf8').trim()
  const places = []
  if (env.XDG_RUNTIME_DIR?.startsWith('/')) places.push(join(env.XDG_RUNTIME_DIR, 'hardy', 'token'))
  if (env.RUNTIME_DIRECTORY?.startsWith('/')) places.push(join(env.RUNTIME_DIRECTORY.split(':')[0], 'token'))
  if (env.HARDY_STATE) places.push(join(dirname(env.HARDY_STATE), 'token'))
  if (env.STATE_DIRECTORY) places.push(join(env.STATE_DIRECTORY.split(':')[0], 'token'))
  places.push(join(env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'hardy', 'token'))
  for (const place of places) {
    if (existsSync(place)) return readFileSync(place, 'utf8').trim()
  }
  throw new Unavailable(
    `no token in ${places.join(', ')}: does hardy serve run? HARDY_TOKEN_FILE names another`)
}

const wholePath = (...parts) => '/api/v1/' + parts.map(encodeURIComponent).join('/')
const span = (seconds) => `${Math.max(1, Math.round(seconds * 1000))}ms`

function refused(answer, text) {
  let problem = {}
  try {
    problem = JSON.parse(text)
  } catch { /* no problem+json: the status tells */ }
  const wait = answer.headers.get('retry-after-ms')
  const Of = answer.status === 503 ? Unavailable : kinds[problem.type] ?? HardyError
  return new Of(problem.detail || `HTTP ${answer.status}`, answer.status, problem.type ?? '',
    wait ? Number(wait) / 1000 : undefined)
}

// One daemon. `patience`: seconds in which calls that get no answer are made again.
export class Client {
  #token
  constructor({url, token, owner, patience = 30} = {}) {
    this.url = (url ?? process.env.HARDY_ADMIN_URL ?? 'http://127.0.0.1:4274').replace(/\/$/, '')
    this.#token = token
    this.owner = owner ?? `${basename(process.argv[1] ?? 'node')} (pid ${process.pid} on ${hostname()})`
    this.patience = patience
  }

  // A call that may be made twice: {answer, text, tried}.
  async call(method, path, body, more = {}) {
    this.#token ??= findToken()
    const headers = {'content-type': 'application/json', authorization: `Bearer ${this.#token}`, ...more}
    const until = Date.now() + this.patience * 1000
    for (let pause = 50, tried = false; ; pause = Math.min(2 * pause, 2000), tried = true) {
      let problem, status = 0
      try {
        const answer = await fetch(this.url + path, {method, body, headers, signal: AbortSignal.timeout(10_000)})
        const text = await answer.text()
        if (answer.status !== 503 || !answer.headers.get('retry-after')) return {answer, text, tried}
        problem = text
        status = 503
      } catch (error) {
        problem = `no answer from ${this.url}: ${error.cause?.message ?? error.message}`
      }
      if (Date.now() + pause > until) throw new Unavailable(problem, status)
      await sleep(pause * (0.5 + Math.random() / 2))
    }
  }

  async post(path, body) {
    const {answer, text} = await this.call('POST', path, JSON.stringify(body))
    if (answer.status !== 200 && answer.status !== 201) throw refused(answer, text)
    return {status: answer.status, told: JSON.parse(text)}
  }

  // An Action that runs, or one with `replayed` and its `result`.
  async begin(key, params = null, {name, lease = 30, ttl = '24h', inDoubt = 'ask'} = {}) {
    const {status, told} = await this.post('/api/v1/actions', {key, params, name, owner: this.owner,
      claim: randomUUID(), lease: span(lease), ttl, in_doubt: inDoubt})
    return new Action(this, told, lease, status === 200)
  }

  // Settles what is in doubt: how = 'done' (with its result), 'retry' or 'fail'.
  async resolve(key, how, result) {
    return (await this.post(wholePath('actions', key, 'resolve'), {as: how, by: this.owner, result})).told
  }

  // The result of fn(action), run once under `key`. InDoubt, Running, OtherParameters, Fenced.
  async action(key, params, fn, how = {}) {
    const a = await this.begin(key, params, how)
    if (a.replayed) return a.result
    const timer = setInterval(() => a.renewOn(), a.lease * 1000 / 3)
    let text
    try {
      text = JSON.stringify((await fn(a)) ?? null)
    } catch (error) {
      if (!(error instanceof Unknown)) {
        await a.fail(`${error?.name ?? 'Error'}: ${error?.message ?? error}`, Boolean(error?.retryable))
      }
      throw error
    } finally {
      clearInterval(timer)
    }
    const result = JSON.parse(text) // as the next one will get it
    await a.complete(result)
    return result
  }

  checkpoint(id) {
    return new Checkpoint(this, id)
  }
}

// One that this process has begun. `lost` becomes true when somebody else has taken it over.
class Action {
  constructor(client, told, lease, replayed) {
    Object.assign(this, {client, lease, replayed, key: told.id, fence: told.fence, attempt: told.attempt,
      idempotencyKey: told.idempotency_key, result: told.result, lost: false})
  }
  #say(verb, body) {
    return this.client.post(wholePath('actions', this.key, verb), {fence: this.fence, ...body})
  }
  renew() {
    return this.#say('renew', {lease: span(this.lease)})
  }
  complete(result = null) {
    return this.#say('complete', {result})
  }
  fail(detail, retryable = false) {
    return this.#say('fail', {detail, retryable})
  }
  async renewOn() {
    try {
      await this.renew()
    } catch (error) {
      if (!(error instanceof Unavailable)) this.lost = true
    }
  }
}

// One JSON value under an id. `version` is the one that was read or written last; undefined: none.
class Checkpoint {
  constructor(client, id) {
    Object.assign(this, {client, id, version: undefined, path: wholePath('checkpoints', id)})
  }
  async load(absent = undefined) {
    const {answer, text} = await this.client.call('GET', this.path)
    this.version = undefined
    if (answer.status === 404) return absent
    if (answer.status !== 200) throw refused(answer, text)
    this.version = answer.headers.get('etag')
    return JSON.parse(text)
  }
  async save(value) {
    const body = JSON.stringify(value)
    const condition = this.version ? {'if-match': this.version} : {'if-none-match': '*'}
    const {answer, text, tried} = await this.client.call('PUT', this.path, body, condition)
    // Perhaps by ourselves: the answer was lost.
    if (answer.status === 412 && tried && JSON.stringify(await this.load()) === body) return
    if (answer.status !== 200 && answer.status !== 201) throw refused(answer, text)
    this.version = answer.headers.get('etag')
  }
  async delete() {
    const {answer, text, tried} = await this.client.call('DELETE', this.path, undefined,
      this.version ? {'if-match': this.version} : {})
    if (answer.status !== 204 && !(tried && [404, 412].includes(answer.status))) throw refused(answer, text)
    this.version = undefined
  }
}

let shared
const client = () => shared ??= new Client()
export const action = (key, params, fn, how) => client().action(key, params, fn, how)
export const checkpoint = (id) => client().checkpoint(id)

// --- the demonstration: an agent loop that can be killed anywhere, and goes on ---------------------------------

// The effect is a line in the ledger; it stands for a mail that is sent, a card that is charged.
async function step(run, number, args) {
  const key = `${run}/step-${number}`
  const effect = async (a) => {
    await sleep(args.pause * 1000)
    appendFileSync(args.ledger, `${a.idempotencyKey} ${run} ${number}\n`)
    await sleep(args.pause * 1000)
    return {step: number}
  }
  for (;;) {
    try {
      return await action(key, {run, step: number}, effect,
        {lease: args.lease, inDoubt: args.inDoubt === 'look' ? 'ask' : args.inDoubt})
    } catch (error) {
      if (error instanceof Running) { // perhaps we ourselves, before we were killed
        await sleep(Math.min(error.retryAfter ?? 0.1, 0.2) * 1000)
      } else if (error instanceof InDoubt && args.inDoubt === 'look') {
        // Here the far side can be asked. Where it cannot, a person decides: hardy actions resolve.
        const lines = existsSync(args.ledger) ? readFileSync(args.ledger, 'utf8') : ''
        const happened = lines.includes(` ${run} ${number}\n`)
        console.log(`step ${number} was in doubt: it ${happened ? 'took effect' : 'did not take effect'}`)
        await client().resolve(key, happened ? 'done' : 'retry', happened ? {step: number} : undefined)
      } else {
        throw error
      }
    }
  }
}

async function main() {
  const {values, positionals: [run]} = parseArgs({allowPositionals: true, options: {
    ledger: {type: 'string'}, steps: {type: 'string', default: '5'}, pause: {type: 'string', default: '0.1'},
    lease: {type: 'string', default: '2'}, 'in-doubt': {type: 'string', default: 'look'}}})
  if (!run || !values.ledger) {
    console.error('usage: hardy_durable.mjs RUN --ledger FILE [--steps N] [--pause S] [--lease S] [--in-doubt WORD]')
    return 2
  }
  const args = {ledger: values.ledger, pause: Number(values.pause), lease: Number(values.lease),
    inDoubt: values['in-doubt']}
  try {
    const state = checkpoint(run)
    let seen = await state.load({done: 0})
    for (let number = seen.done; number < Number(values.steps); number++) {
      const result = await step(run, number, args)
      seen = {done: result.step + 1}
      await state.save(seen)
      console.log(`step ${number} done`)
    }
  } catch (error) {
    if (!(error instanceof HardyError)) throw error
    console.error(`${error.name}: ${error.message}`)
    return error instanceof InDoubt ? 4 : 1
  }
  console.log('all done')
  return 0
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main()
}
