// Ten thousand random histories of one tenant each, as identity could have published them, delivered shuffled,
// repeated, with gaps and with times that are a day off: every registry row ends as the model says, which is a
// single sentence.
import fc from 'fast-check'
import t from 'tap'
import {
  encode,
  type LifecycleEvent,
  type LifecycleKind,
  lifecycleSubject,
  parseLifecycle,
} from '../../../../events/index.js'
import { createBreaker } from '../../../../plugins/distributed-tenant/instances/breaker.js'
import { applyLifecycle } from '../../../../plugins/distributed-tenant/provisioning/apply-event.js'
import { rig } from '../../../rig.js'

const HISTORIES = 10_000
const seed = Number(process.argv[2] ?? Date.now() % 2 ** 31)

interface State {
  readonly version: number
  readonly name: string
  readonly domain: string | null
  readonly lifecycle: string
}

interface Arrival extends State {
  readonly kind: LifecycleKind
  /** Without a version: a request for the tenant. */
  readonly bare: boolean
}

interface History {
  readonly arrivals: readonly Arrival[]
  /** Two replicas handle them side by side. */
  readonly sideBySide: boolean
}

/** Identity's changes to one tenant: created, then changed, perhaps deleted at the end. Versions rise by one. */
const seen: fc.Arbitrary<Arrival[]> = fc
  .tuple(
    fc.array(fc.constantFrom('updated' as const, 'suspended' as const, 'activated' as const), { maxLength: 7 }),
    fc.boolean(),
    fc.constantFrom(null, 'a.example.com', 'b.example.com'),
  )
  .map(([changes, deleted, domain]) => {
    const kinds: LifecycleKind[] = ['created', ...changes, ...(deleted ? (['deleted'] as const) : [])]
    let lifecycle = 'active'
    return kinds.map((kind, at) => {
      if (kind === 'suspended') lifecycle = 'suspended'
      if (kind === 'activated') lifecycle = 'active'
      if (kind === 'deleted') lifecycle = 'deleted'
      const changed = at % 2 === 0 ? domain : null
      return { kind, version: at + 1, name: `name ${at + 1}`, domain: changed, lifecycle, bare: false }
    })
  })

const bare: Arrival = { kind: 'created', version: 0, name: 'asked for', domain: null, lifecycle: 'active', bare: true }

/** Some of the events, in any order, some repeated, with requests in between. */
const history: fc.Arbitrary<History> = seen.chain(all =>
  fc.record({
    arrivals: fc
      .tuple(fc.array(fc.constantFrom(...all, bare), { minLength: 1, maxLength: 5 }), fc.shuffledSubarray(all))
      .map(([some, more]) => [...some, ...more]),
    sideBySide: fc.boolean(),
  }),
)

/** The newest version that arrived; a request counts only where nothing else has arrived. */
const model = ({ arrivals }: History): State | undefined =>
  arrivals.reduce<Arrival | undefined>(
    (best, one) => (best === undefined || one.version > best.version ? one : best),
    undefined,
  )

/** Encoded and parsed, so that the parser is under test too. */
function event(id: string, { kind, version, name, domain, lifecycle, bare }: Arrival, at: number): LifecycleEvent {
  const body = bare ? { id, name } : { id, version, name, domain, is_active: lifecycle === 'active', settings: {} }
  const day = (at % 3) - 1
  const headers = { 'ce-time': new Date(Date.now() + day * 86_400_000).toISOString() }
  const parsed = parseLifecycle(lifecycleSubject(kind), encode(body), headers)
  if (!parsed.ok) throw new Error(parsed.reason)
  return parsed.event
}

t.test(`ten thousand random histories end as the model says (seed ${seed})`, async t => {
  const { app: build } = await rig(t, ['employee'])
  const { central } = await build('employee', { enabled: false, acquireTimeout: 600_000 })
  const options = { central, attempt: async () => {}, breaker: createBreaker(() => {}), source: null, ask: null }
  const apply = (event: LifecycleEvent) => applyLifecycle(event, options)
  const drawn = fc.sample(history, { numRuns: HISTORIES, seed })
  const histories = drawn.map(({ arrivals, sideBySide }, n) => ({
    sideBySide,
    events: arrivals.map((arrival, at) => event(`t${n}`, arrival, at)),
  }))

  // Notifications are not under test here, and take time.
  await central`alter table tenants disable trigger tenants_changed`
  let next = 0
  const worker = async () => {
    for (let one = histories[next++]; one !== undefined; one = histories[next++]) {
      const { events, sideBySide } = one
      if (sideBySide) await Promise.all(events.map(apply))
      else for (const event of events) await apply(event)
    }
  }
  await Promise.all(Array.from({ length: 24 }, worker))

  const rows = await central<(State & { id: string })[]>`
    select id, version::int, name, domain, lifecycle from tenants`
  const found = new Map(rows.map(({ id, ...state }) => [id, state]))
  const wrong = drawn.flatMap((history, n) => {
    const { version, name, domain, lifecycle } = model(history) as State
    const wanted = { version, name, domain, lifecycle }
    const got = found.get(`t${n}`)
    return JSON.stringify(got) === JSON.stringify(wanted) ? [] : [{ n, wanted, got, arrivals: history.arrivals }]
  })
  t.same(wrong.slice(0, 3), [], `seed ${seed}`)
  t.equal(wrong.length, 0)
  t.equal(rows.length, HISTORIES)
  t.ok(drawn.some(one => model(one)?.lifecycle === 'deleted') && drawn.some(one => model(one)?.version === 0))
})
