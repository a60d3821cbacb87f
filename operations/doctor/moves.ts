// What moves without a freeze have left: a run that was killed, and slots, subscriptions and logins of runs that are over. A slot
// that no subscription reads keeps its server's log, until the disk is full. Nothing is reported while a move of this service runs.
// If an instance is down: it is reported with its tenants.

import { tmpdir } from 'node:os'
import { dueForPurge } from '../../plugins/distributed-tenant/provisioning/purge.js'
import type { QueryClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { ifUnlocked, lockNames, locksHeld } from '../../postgres/advisory-locks.js'
import { inherited } from '../child-environment.js'
import { createJournal } from '../copying/journal.js'
import { createPrograms } from '../copying/pg-programs.js'
import { type Administrator, createAdministrator } from '../move/online/administrator.js'
import { linkOf, PREFIX, routesOf, runOfName } from '../move/online/link.js'
import { createReplication } from '../move/online/replication.js'
import { isRelocated, isReturning } from '../move/online/state.js'
import { parseRoute } from '../move/parts.js'
import { instanceAt } from '../move/reach-instance.js'
import { carryOutMove, rollBackMove } from '../move/run.js'
import type { OpenService } from '../open-services.js'
import { administratorLogin } from '../targets.js'
import { type Problem, problem } from './problem.js'

interface Left {
  readonly instance: string
  readonly kind: 'slot' | 'subscription' | 'role'
  readonly name: string
  /** A subscription that is not stopped, a slot that is read. */
  readonly active: boolean
  readonly bytes: number | null
  /** A slot that keeps more of the log than its server would. */
  readonly beyond: boolean
}

interface Run {
  readonly run: string
  readonly id: TenantId
  readonly source: string
  readonly step: Parameters<typeof isRelocated>[0]['step']
}

const MOST_DUE = 1_000
const OVER = new Set<string>(['undone', 'switched', 'dropped'])
const wantsLogin = 'set INIT_SUPERUSER and INIT_PASSWORD, then `doctor --fix` drops it'

export async function leftByMoves(service: OpenService): Promise<Problem[]> {
  const { tenancy, name } = service
  const { central } = tenancy.move
  const runs = await central<Run[]>`
    select transfer_id as run, tenant_id as id, source, step from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and online is not null order by started_at desc`
  if (runs.length === 0) return []
  if (await isRunning(service)) return []
  const left = (
    await Promise.all(tenancy.settings.instances.map(one => lookAt(service, one.name).catch((): Left[] => [])))
  ).flat()
  const purgeDue = new Set(await dueForPurge(central, MOST_DUE))
  const login = administratorLogin()
  const found: Problem[] = []
  for (const { run, id, source, step } of runs) {
    const mine = left.filter(one => runOfName(one.name) === run)
    const route = parseRoute(source)
    if (!OVER.has(step) && step !== 'following' && step !== 'pending') {
      const cure = isReturning({ step })
        ? `\`move ${id} --service ${name} --back\``
        : isRelocated({ step })
          ? `\`move --service ${name} --resume ${run}\``
          : `\`move --service ${name} --rollback ${run}\`, or --resume ${run}`
      found.push({
        ...problem(
          'move not ended',
          id,
          `its command is over and has left it at the step ${step}: ${cure}${login ? ', or doctor --fix' : `; ${wantsLogin}`}`,
          login && (() => endRun(service, run, step)),
        ),
        instance: isRelocated({ step }) ? route.to : route.from,
      })
      continue
    }
    if (step === 'following' && purgeDue.has(id)) {
      found.push({
        ...problem(
          'purge waits',
          id,
          `its retention is over, and its old copy follows since its move: \`purge ${id} --service ${name}\`${login ? '' : ' with INIT_SUPERUSER and INIT_PASSWORD'}`,
        ),
        instance: route.to,
      })
      continue
    }
    if (step === 'following') {
      const stopped = mine.find(({ kind, active }) => kind !== 'role' && !active)
      if (stopped && !stopped.name.endsWith('_check'))
        found.push({
          ...problem(
            'way back broken',
            id,
            `the ${stopped.kind} ${stopped.name} stands still: \`move ${id} --finish\` ends it`,
          ),
          instance: stopped.instance,
        })
      const most = Math.max(0, ...mine.filter(one => one.beyond).map(({ bytes }) => bytes ?? 0))
      if (most > 0)
        found.push({
          ...problem(
            'way back keeps the log',
            id,
            `since its move ${route.to} keeps ${Math.round(most / 2 ** 20)} MiB of its log, more than max_wal_size: \`move ${id} --service ${name} --finish\` lets it go, and with it the way back`,
          ),
          instance: route.to,
        })
      continue
    }
    for (const one of mine) {
      const kept = one.bytes === null ? '' : `, and keeps ${Math.round(one.bytes / 2 ** 20)} MiB of the log`
      found.push({
        ...problem(
          'left by a move',
          one.name,
          `a ${one.kind} of the run ${run}, which is over${kept}: ${login ? 'doctor --fix drops it' : wantsLogin}`,
          login && (() => withAdmin(service, admin => dropLeft(service, admin, { run, id, route }))),
        ),
        instance: one.instance,
      })
    }
  }
  return found
}

const isRunning = async ({ tenancy }: OpenService): Promise<boolean> =>
  (await locksHeld(tenancy.move.central, [lockNames.transfer])).size > 0

const lookAt = ({ tenancy }: OpenService, instance: string): Promise<Left[]> =>
  tenancy.move.sessionAt(instance)(async (sql: QueryClient) => {
    const rows = await sql<Omit<Left, 'instance'>[]>`
      select 'slot' as kind, slot_name::text as name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 as bytes,
          wal_status is distinct from 'reserved' as beyond
        from pg_replication_slots where starts_with(slot_name, ${PREFIX})
      union all select 'subscription', subname, subenabled, null, false from pg_subscription where starts_with(subname, ${PREFIX})
      union all select 'role', rolname, true, null, false from pg_roles where starts_with(rolname, ${PREFIX}) order by 1 desc, 2`
    return rows.map(row => ({ ...row, instance }))
  })

async function withAdmin(service: OpenService, work: (admin: Administrator) => Promise<void>): Promise<void> {
  const login = administratorLogin()
  if (!login) return
  const admin = createAdministrator(service.tenancy.move, login)
  try {
    await service.tenancy.transfer.session(sql =>
      ifUnlocked(
        sql,
        lockNames.transfer,
        () => work(admin),
        () => Promise.reject(new Error(`A move or import runs on ${service.name}: wait for its end.`)),
      ),
    )
  } finally {
    await admin.close()
  }
}

/** Before the switch it is taken back, after it it is ended; of a way back the tenant stays where it is served. */
const endRun = (service: OpenService, run: string, step: Run['step']): Promise<void> =>
  withAdmin(service, async admin => {
    const { move } = service.tenancy
    const how = {
      journal: createJournal(move.central),
      programs: createPrograms({ environment: inherited() }),
      folder: tmpdir(),
      jobs: 1,
      admin,
    }
    await (isRelocated({ step }) || isReturning({ step }) ? carryOutMove : rollBackMove)(move, run, how)
  })

async function dropLeft(
  { tenancy }: OpenService,
  admin: Administrator,
  { run, id, route }: { run: string; id: TenantId; route: { from: string; to: string } },
): Promise<void> {
  const { move, settings } = tenancy
  const { backOf, routeOf } = routesOf({ service: settings.service, run, ...route })
  const replication = createReplication(name => instanceAt(move, name), admin)
  const failed: unknown[] = []
  for (const link of [linkOf(routeOf(id)), backOf(id)]) {
    await replication.drop(link).catch(error => failed.push(error))
  }
  if (failed.length > 0) throw failed[0]
}
