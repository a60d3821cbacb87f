// `console`: the cost of open consoles to identity, on the whole stack: CPU with twenty against none while tenants change, memory of
// one, and the list of ten thousand tenants, filtered.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { type RunningStack, startStack } from '../../stack/stack.js'
import type { BenchOptions } from '../arms.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { spread } from '../statistics.js'

const CONSOLES = 20
const EVENTS_A_SECOND = 50
const MANY = 10_000
const ROW_QUERIES = [
  'status=failed',
  'status=pending',
  'q=77&sort=name',
  'lifecycle=suspended&sort=updated&order=desc',
  'offset=5000',
]
/** Of Linux: a hundredth of a second. */
const TICK_MS = 10

interface Console {
  readonly cookie: string
  readonly base: string
}

export async function benchConsole(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const stack = await startStack({ serviceEnv: { LOG_LEVEL: 'warn', TENANT_SPARES: '0' } })
  try {
    const ids = Array.from({ length: 10 }, (_, at) => `bench-${at}`)
    for (const id of ids) await call(stack, 'POST', '/fleet', { id, name: id })
    await allReady(stack, ids.length)
    const console = await signIn(stack)
    const wanted = (part: string): boolean => part.includes(options.only)
    const cases: Case[] = []
    if (wanted('cpu')) cases.push(await cpu(stack, console, ids, options))
    if (wanted('memory')) cases.push(await memory(stack, console, ids, options))
    // They would make ten thousand databases.
    await stack.services.employee.stop()
    await stack.services.core.stop()
    if (wanted('lists')) cases.push(...(await lists(stack, options)))
    return {
      config: {
        consoles: CONSOLES,
        'lifecycle events a second': EVENTS_A_SECOND,
        tenants: MANY,
        rounds: options.rounds,
      },
      cases,
    }
  } finally {
    await stack.stop()
  }
}

async function call(stack: RunningStack, method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${stack.info.services.identity.url}/api/operator${path}`, {
    method,
    headers: {
      authorization: `Bearer ${stack.info.operatorToken}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text === '' ? null : JSON.parse(text)
}

async function allReady(stack: RunningStack, count: number): Promise<void> {
  for (;;) {
    const { ready } = (await call(stack, 'GET', '/fleet/counts')) as { ready: number }
    if (ready >= count) return
    await sleep(500)
  }
}

async function signIn(stack: RunningStack): Promise<Console> {
  const base = `${stack.info.services.identity.url}/console/api`
  const answer = await fetch(`${base}/session`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.info.operatorToken}`, 'content-type': 'application/json' },
    body: '{"name":"bench"}',
  })
  await answer.arrayBuffer()
  const cookie = answer.headers.getSetCookie()[0]?.split(';')[0]
  if (!cookie) throw new Error(`the console answered ${answer.status} and set no cookie`)
  return { base, cookie }
}

/** Open streams, read to their end. @returns how to close them */
async function openConsoles({ base, cookie }: Console, count: number): Promise<() => Promise<void>> {
  const abort = new AbortController()
  const reading = await Promise.all(
    Array.from({ length: count }, async () => {
      const { body, status } = await fetch(`${base}/events`, { headers: { cookie }, signal: abort.signal })
      if (status !== 200 || !body) throw new Error(`the event stream answered ${status}`)
      const read = async (): Promise<void> => {
        for await (const chunk of body) void chunk
      }
      // In an object: a promise would be waited for here, which is until the stream ends.
      return { end: read().catch(() => {}) }
    }),
  )
  return async () => {
    abort.abort()
    await Promise.all(reading.map(({ end }) => end))
  }
}

/** Milliseconds of CPU of a process since its start. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** kB of heap in use: the least of some seconds with changes, behind collections of garbage. */
async function inUse(stack: RunningStack, ids: readonly string[], seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000
  let least = Number.POSITIVE_INFINITY
  while (performance.now() < end) {
    await underLoad(stack, ids, 0.5)
    const text = await (await fetch(`${stack.info.services.identity.url}/metrics`)).text()
    const of = (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1])
    least = Math.min(least, of('nodejs_heap_size_used_bytes') / 1024)
  }
  return least
}

let refused = 0

async function underLoad(stack: RunningStack, ids: readonly string[], seconds: number): Promise<number> {
  const pid = stack.services.identity.pid as number
  const before = cpuOf(pid)
  const begun = performance.now()
  const pending: Promise<unknown>[] = []
  for (let at = 0; at < seconds * EVENTS_A_SECOND; at++) {
    // A machine that stalls refuses one or two: they are counted, and the turn goes on.
    pending.push(call(stack, 'POST', `/fleet/${ids[at % ids.length]}/retry`).catch(() => void refused++))
    await sleep(Math.max(0, begun + ((at + 1) * 1000) / EVENTS_A_SECOND - performance.now()))
  }
  await Promise.all(pending)
  return cpuOf(pid) - before
}

async function cpu(
  stack: RunningStack,
  console: Console,
  ids: readonly string[],
  options: BenchOptions,
): Promise<Case> {
  const open: number[] = []
  const none: number[] = []
  options.progress.begin('CPU under change', options.rounds + 1)
  // The first round warms up and is dropped.
  for (let round = 0; round <= options.rounds; round++) {
    const withConsoles = async (): Promise<number> => {
      const close = await openConsoles(console, CONSOLES)
      try {
        return await underLoad(stack, ids, options.seconds)
      } finally {
        await close()
      }
    }
    // In turns: a process that is still warming up favours the later one.
    const before = round % 2 === 0 ? await withConsoles() : null
    const without = await underLoad(stack, ids, options.seconds)
    const with20 = before ?? (await withConsoles())
    if (round > 0) {
      none.push(without)
      open.push(with20)
    }
    options.progress.step(`${with20} / ${without} ms`)
  }
  const compared = compareNumbers(`CPU of identity, ${CONSOLES} consoles vs none`, open, none, {
    better: 'lower',
    as: 'note',
    note: 'ms',
  })
  return { ...compared, failed: refused }
}

async function memory(
  stack: RunningStack,
  console: Console,
  ids: readonly string[],
  options: BenchOptions,
): Promise<Case> {
  const count = 90
  const seconds = options.quick ? 1 : 15
  const before = await inUse(stack, ids, seconds)
  const close = await openConsoles(console, count)
  const perConsole = ((await inUse(stack, ids, seconds)) - before) / count
  await close()
  return {
    ...{ name: 'heap per open console vs 200 kB', rps: null, p50: null, p99: null, failed: 0 },
    ratio: spread([perConsole / 200]),
    better: 'lower',
    note: `${Math.round(perConsole)} kB`,
  }
}

async function lists(stack: RunningStack, options: BenchOptions): Promise<Case[]> {
  const { host, port, user, password, name } = stack.info.services.identity.database
  const sql = postgres({ host, port, user, password, database: name, max: 1, onnotice() {} })
  // Without a database: the comparison with the instance leaves them alone, and the list shows the ledger's status.
  await sql`
    insert into tenants (id, version, name, lifecycle, provisioned, incarnation)
    select 'many-' || n, 1, 'Many ' || n, case when n % 10 = 0 then 'suspended' else 'active' end, 'removed', md5(n::text)
    from generate_series(1, ${MANY}::int) as n`
  await sql`
    insert into tenant_services (tenant_id, service, status, version, revision, updated_at)
    select 'many-' || n, service, case when n % 50 = 0 then 'failed' else 'ready' end, 1, 1, now()
    from generate_series(1, ${MANY}::int) as n, unnest(array['identity', 'employee', 'core']) as service`
  await sql`analyze`
  // Each is a change, which is notified and audited: ten thousand at once are no part of a list.
  for (;;) {
    const answers = await call(stack, 'GET', '/fleet/counts').then(
      () => true,
      () => false,
    )
    const [row] = await sql<[{ waiting: number }]>`select count(*)::int as waiting from audit_inbox`
    if (answers && row.waiting === 0) break
    await sleep(500)
  }
  await sql.end()
  const cases: Case[] = []
  const requests = options.quick ? 20 : 200
  options.progress.begin('lists', ROW_QUERIES.length)
  for (const query of ROW_QUERIES) {
    const taken: number[] = []
    for (let at = 0; at < requests; at++) {
      const begun = performance.now()
      await call(stack, 'GET', `/fleet?${query}`)
      taken.push(performance.now() - begun)
    }
    taken.sort((a, b) => a - b)
    const p50 = taken[requests >> 1] as number
    const p99 = taken[Math.floor(requests * 0.99)] as number
    options.progress.step(`${query}: ${Math.round(p99)} ms`)
    cases.push({
      ...{ name: `list ${MANY} tenants, ${query}, p99 vs 100 ms`, rps: null, p50, p99, failed: 0 },
      ratio: spread([p99 / 100]),
      better: 'lower',
    })
  }
  return cases
}
