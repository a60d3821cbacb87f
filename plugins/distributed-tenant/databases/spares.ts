// The spares of this service: databases made ahead, so that a tenant is ready by a rename. Invariants: a spare is in the
// table only when it is whole; one process of a service makes and drops them at a time (advisory lock); a tenant takes one in
// one transaction.
// If the home instance is marked full: none are made, and those that are there are dropped.
// If the server refuses (disk full, no connections left): making spares backs off, and tenants are made without them.

import { randomBytes } from 'node:crypto'
import type { TenantId } from '../../../events/index.js'
import { ifUnlocked, lockNames } from '../../../postgres/advisory-locks.js'
import { backoffMs, jitteredMs } from '../../../timing/backoff.js'
import { type Loop, startLoop } from '../../../timing/loop.js'
import type { Credentials } from '../credentials/role-credentials.js'
import { collectHeaders } from '../diagnostics/outgoing-events.js'
import type { SpareReport } from '../diagnostics/steps.js'
import { spareName } from '../names.js'
import { listFull } from '../registry/full-instances.js'
import type { ServiceName, SessionClient, SqlClient } from '../types.js'
import { dropDatabase, dropRole } from './databases.js'
import type { InstanceAccess } from './instance-access.js'
import { MARK_PREFIX } from './marks.js'
import { prepareRole } from './roles.js'
import { dropOldTemplates, isSuperseded, type Template, useTemplate } from './template.js'

export interface SparesOptions {
  readonly service: ServiceName
  /** 0: none are made; those left of earlier settings are still dropped. */
  readonly wanted: number
  readonly template: Template
  readonly credentials: Credentials
  readonly home: InstanceAccess
  readonly central: SqlClient
  readonly readySubject: string
  readonly report: (event: SpareReport) => void
  /** Milliseconds between checks. Default 10,000. */
  readonly pollMs?: number
}

/** `taken`: it is ready now. `ready`: it was. `gone`: unknown or deleted. `no`: to be made step by step. */
export type Taking = 'taken' | 'ready' | 'gone' | 'no'

export interface SparesInfo {
  readonly wanted: number
  /** At this process's last check. */
  readonly ready: number
  /** Being made by this process now. */
  readonly making: number
}

export interface Spares {
  /** Begins to keep them; safe to call twice. */
  start(): void
  /**
   * One round trip: makes a spare this tenant's, if there is one and the tenant has nothing yet.
   * @param holder the session that holds the tenant's lock, if its caller has one
   */
  take(id: TenantId, holder?: SessionClient): Promise<Taking>
  info(): SparesInfo
  /** Finishes the one being made and stops. */
  close(): Promise<void>
}

const AFTER_FAILURE = { firstMs: 2_000, longestMs: 300_000 }

export function createSpares(options: SparesOptions): Spares {
  const { service, wanted, template, credentials, home, central, report } = options
  const pollMs = options.pollMs ?? 10_000
  let ready = 0
  let making = 0
  let failures = 0
  let stopped = false
  let loop: Loop | null = null

  async function run(): Promise<number> {
    try {
      await keep()
      failures = 0
      return jitteredMs(pollMs)
    } catch (error) {
      // Its session was ended by our own stop: the next start drops what it has made.
      report({ type: stopped ? 'interrupted' : 'failed', error })
      return backoffMs(AFTER_FAILURE, failures++)
    }
  }

  async function keep(): Promise<void> {
    await home.session(async sql => {
      await useTemplate(sql, template)
      const putInOrder = async (): Promise<void> => {
        const isFull = (await listFull(sql)).some(({ name }) => name === home.name)
        await putAway(sql, isFull)
        if (!isFull) await refill(sql)
      }
      await ifUnlocked(sql, lockNames.spares, putInOrder, () => {})
      ready = await count(sql)
    })
  }

  const count = async (sql: SessionClient): Promise<number> => {
    const [row] = await sql<{ ready: number }[]>`
      select count(*)::int as ready from spares where template = ${template.mark}`
    return row?.ready ?? 0
  }

  async function refill(sql: SessionClient): Promise<void> {
    if (wanted === 0 || (await isSuperseded(sql, template))) return
    while (!stopped && (await count(sql)) < wanted) {
      making = 1
      await makeOne(sql).finally(() => {
        making = 0
      })
      ready++
    }
  }

  async function makeOne(sql: SessionClient): Promise<void> {
    const [row] = await sql<{ number: number }[]>`select nextval('spare_numbers')::int as number`
    const name = spareName(service, (row as { number: number }).number)
    report({ type: 'making', name })
    await home.clone(sql, name)
    report({ type: 'cloned', name })
    await prepareRole(sql, name, service)
    const certificate = randomBytes(16).toString('hex')
    // This connection also pays PostgreSQL's cost of the first connection to a database (docs/decisions/0004).
    await home.visit(
      name,
      inside => inside`insert into distributed_tenant.certificate (certificate) values (${certificate})`,
    )
    report({ type: 'certified', name })
    // No session may be in it, a backup's included: one would make the taking wait 5 s and fail (docs/decisions/0004).
    await sql`alter database ${sql(name)} allow_connections false`
    await sql`insert into spares (name, template, certificate) values (${name}, ${template.mark}, ${certificate})`
    report({ type: 'made', name })
  }

  /** Drops spares that are unfinished, broken or of an earlier release, or all. Called under the lock, so none is being made. */
  async function putAway(sql: SessionClient, all: boolean): Promise<void> {
    const newer = await isSuperseded(sql, template)
    const pattern = `^spare_${service}_[0-9]+$`
    const found = await sql<{ name: string; listed: boolean; whole: boolean }[]>`
      select coalesce(datname, rolname, spares.name) as name, spares.name is not null as listed,
        datname is not null and datconnlimit <> -2 and rolname is not null
          and (${newer} or template = ${template.mark}) as whole
      from (select datname, datconnlimit from pg_database where datname ~ ${pattern}) databases
      full join (select rolname from pg_roles where rolname ~ ${pattern}) roles on rolname = datname
      full join spares on spares.name = coalesce(datname, rolname)`
    for (const { name, listed, whole } of found) {
      if (listed && whole && !all) continue
      // A tenant that takes it at this moment holds its row, and then it is no spare any more.
      if (listed && (await sql`delete from spares where name = ${name}`).count === 0) continue
      report({ type: 'dropping', name })
      try {
        await dropDatabase(sql, name)
        await dropRole(sql, name)
        report({ type: 'dropped', name })
      } catch (error) {
        // Another's by that name, or in use by a superuser: no reason to make no others.
        report({ type: 'failed', name, error })
      }
    }
    for (const name of await dropOldTemplates(sql, service, template)) report({ type: 'dropped', name })
  }

  /** Taking a spare does not shorten the wait after a refusal of the server. */
  function kick(): void {
    if (failures === 0) loop?.wake()
  }

  return {
    start() {
      loop ??= startLoop(run)
    },
    async take(id, holder) {
      const sql = holder ?? central
      report({ type: 'taking', id })
      const headers: Record<string, string> = {}
      collectHeaders({ subject: options.readySubject, tenantId: id, headers })
      try {
        const [row] = await sql<{ outcome: string }[]>`
          select take_spare(${id}, ${service}, ${template.mark}, ${template.version}, ${credentials.verifier(id)},
            ${credentials.current}, ${MARK_PREFIX}, ${options.readySubject}, ${central.json(headers)}, ${new Date()}) as outcome`
        const { outcome } = row as { outcome: string }
        if (outcome === 'taken') {
          ready = Math.max(0, ready - 1)
          kick()
          report({ type: 'taken', id })
        }
        return outcome === 'taken' || outcome === 'ready' || outcome === 'gone' ? outcome : 'no'
      } catch (error) {
        // A spare that cannot be taken (dropped by hand, or held by a session) is dropped at the next check.
        report({ type: 'refused', id, error })
        kick()
        return 'no'
      }
    },
    info: () => ({ wanted, ready, making }),
    async close() {
      stopped = true
      await loop?.stop()
    },
  }
}
