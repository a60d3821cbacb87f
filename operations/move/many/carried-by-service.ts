// Drains that a service carries out itself, one tenant at a time beside its requests. Invariants: a drain is in the journal before it is
// answered; one move, import or drain of a service runs at a time, in all processes and commands; it ends with the process after the
// tenant under way, and is then gone on with from its journal.
// If the central database is down: the drain ends with its error, and counts as interrupted when it is back.
import { tmpdir } from 'node:os'
import type { OperatorAccess } from '../../../plugins/distributed-tenant/index.js'
import {
  type BegunDrain,
  CountOfDrainChanged,
  DrainIsDone,
  type DrainPlan,
  type Drains,
  type EndedDrain,
} from '../../../plugins/operator/drains.js'
import { withRunLock } from '../../../postgres/advisory-locks.js'
import type { SessionClient } from '../../../postgres/types.js'
import { withOperations } from '../../parts.js'
import { alone } from '../../single-run.js'
import { administratorLogin } from '../../targets.js'
import { howToMove } from '../how-to-move.js'
import { createBatchJournal } from './batch-journal.js'
import { carryOutMany, movable } from './many-moves.js'
import { planDrain } from './plan-moves.js'

/** As the command has them without an option. */
const LIMITS = { transactionMs: 1_000, holdMs: 1_800, quietMs: 30_000 }
const STAYS = 50

interface Asked {
  readonly count: number | null
  readonly by: string
}

export function createServiceDrains(
  { tenancy, service: name }: Pick<OperatorAccess, 'tenancy' | 'service'>,
  onEnd: (result: EndedDrain | null, error: unknown) => void,
): Drains {
  const operations = withOperations(tenancy)
  const { move } = operations
  const batches = createBatchJournal(move.central)
  const online = administratorLogin() !== null
  const closing = new AbortController()
  const running = new Set<Promise<unknown>>()
  const planOf = (instance: string) => planDrain(move, instance, { room: new Map(), weights: new Map(), to: [] })

  async function carry(
    instance: string,
    { count, by }: Asked,
    { lost, session }: { lost: AbortSignal; session: SessionClient },
    onBegin: (run: BegunDrain) => void,
  ): Promise<EndedDrain> {
    const unfinished = await batches.unfinished('drain', instance)
    const planned = await planOf(instance)
    const moving = movable(planned).length
    if (count !== null && moving !== count) throw new CountOfDrainChanged(moving, count)
    // By the session that keeps others out: a second one would be of the few for provisioning.
    const own = { ...operations, carryOut: <T>(run: string, work: () => Promise<T>) => withRunLock(session, run, work) }
    let ended: EndedDrain | undefined
    await carryOutMany(
      { name, tenancy: own },
      {
        ...{ kind: 'drain', instance, planned, batches, actor: by, dropSource: false },
        plan: () => planOf(instance),
        batch: unfinished?.id ?? null,
        detail: { instance, frozen: !online },
      },
      async work => {
        const signal = AbortSignal.any([closing.signal, lost])
        const { how, close } = howToMove(own, { jobs: 1, folder: tmpdir() }, signal)
        const way = online ? { limits: LIMITS, follow: false } : null
        await work({ ...how, online: way, room: new Map(), sideBySide: 1 }).finally(close)
      },
      {
        onBegin: (id, tenants) => onBegin({ id, tenants }),
        onTenant() {},
        say() {},
        onEnd({ batch, outcomes, interrupted, why }) {
          const moved = outcomes.filter(({ state }) => state === 'moved').length
          ended = { run: batch, moved, notMoved: why.size, stopped: interrupted }
        },
      },
    )
    return ended as EndedDrain
  }

  /** Settles when the drain is in the journal, or is refused; it goes on. */
  function begin(instance: string, asked: Asked): Promise<BegunDrain> {
    return new Promise((resolve, reject) => {
      let begun = false
      let ended: EndedDrain | null = null
      const onBegin = (run: BegunDrain): void => {
        begun = true
        resolve(run)
      }
      const work = alone([{ name, tenancy: operations }], async (lost, session) => {
        ended = await carry(instance, asked, { lost, session }, onBegin)
      }).then(
        () => onEnd(ended, null),
        error => (begun ? onEnd(null, error) : reject(error)),
      )
      running.add(work)
      void work.finally(() => running.delete(work))
    })
  }

  return {
    async plan(instance): Promise<DrainPlan> {
      const planned = await planOf(instance)
      const to: Record<string, number> = {}
      for (const one of movable(planned)) to[one.to] = (to[one.to] ?? 0) + 1
      const stays = planned.flatMap(({ id, to: where, why }) => (where === null ? [{ id, why: why ?? '' }] : []))
      return {
        ...{ instance, way: online ? 'online' : 'frozen', to },
        tenants: planned.length - stays.length,
        bytes: movable(planned).reduce((sum, { bytes }) => sum + bytes, 0),
        stays: stays.slice(0, STAYS),
        staying: stays.length,
        unfinished: (await batches.unfinished('drain', instance))?.id ?? null,
      }
    },
    start: (instance, count, by) => begin(instance, { count, by }),
    async resume(run, by) {
      const batch = await batches.find(run)
      if (batch?.kind !== 'drain' || batch.instance === null) return null
      if (batch.state === 'done') throw new DrainIsDone()
      return begin(batch.instance, { count: null, by })
    },
    async stop(run) {
      const batch = await batches.find(run)
      return batch?.kind === 'drain' ? batches.stop(run) : null
    },
    async close(deadlineMs) {
      closing.abort()
      await Promise.race([Promise.all(running), new Promise(resolve => setTimeout(resolve, deadlineMs).unref())])
    },
  }
}
