// A restore with an identity that refuses, does not answer, or answers without the answer arriving, and of an
// archive whose schema is older or newer than the release. Real databases; the test sets identity's answers.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openArchive } from '../../../operations/archive/archive-reader.js'
import { backUpTenant } from '../../../operations/archive/backup.js'
import type { Authority } from '../../../operations/archive/restore-plan.js'
import { createServiceRestore, type ServiceRestore } from '../../../operations/archive/restore-service.js'
import { recover } from '../../../operations/archive/restore-tenant.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import type { OperatorTenancy } from '../../../operations/parts.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import type { TenantState } from '../../../plugins/distributed-tenant/registry/tenants-table.js'
import {
  applyTenantState,
  findTenant,
  insertTenant,
} from '../../../plugins/distributed-tenant/registry/tenants-table.js'
import { fixture, notes, rig } from '../../rig.js'

const acme = parseTenantId('acme')
const { PATH } = process.env

t.test('a restore', async t => {
  const { tenancy, look } = await rig(t, ['employee'])
  const folder = mkdtempSync(join(tmpdir(), 'recovery-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const programs = createPrograms({ environment: { PATH } })
  const older = await tenancy('employee', { migrations: { tenant: notes } })
  const newer = await tenancy('employee', { migrations: { tenant: fixture('notes2') } })
  const { central } = older.transfer

  const state: TenantState = { id: acme, version: 1, name: 'Acme', domain: null, settings: {}, lifecycle: 'active' }
  await insertTenant(central, state)
  await older.provisioner.provision(acme)
  const inside = <T>(fn: Parameters<typeof older.transfer.withDirectConnection<T>>[1]) =>
    older.transfer.withDirectConnection('tenant_acme_employee', fn)
  await inside(sql => sql`insert into notes (body) values ('kept')`)
  const archive = join(folder, 'acme.tar')
  await backUpTenant(acme, { services: [older.transfer], programs, release: '0', to: archive })
  await inside(sql => sql`update notes set body = 'later'`)
  const texts = () => inside(async sql => (await sql<{ body: string }[]>`select body from notes`).map(row => row.body))
  const beside = async () =>
    (await look('employee')`select datname from pg_database where datname ~ '^(copy|past)_'`).map(row => row.datname)
  const remove = (version: number) => applyTenantState(central, { id: acme, version, lifecycle: 'deleted' })

  const unable = (): never => {
    throw new Error('not asked for')
  }
  const identity = (lifecycle: TenantState['lifecycle'], more: Partial<Authority> = {}): Authority => ({
    find: async () => ({ ...state, lifecycle, version: 9 }),
    restore: unable,
    create: unable,
    suspend: unable,
    refused: error => (error as Error).message === 'refused',
    ...more,
  })
  const restore = async (authority: Authority, from: OperatorTenancy = older, path = archive, more = {}) => {
    const opened = await openArchive(path)
    const part = opened.manifest.services[0] as NonNullable<(typeof opened.manifest.services)[0]>
    const { sha256 } = opened
    try {
      const restoring = {
        parts: from.transfer,
        restore: await createServiceRestore(from.transfer, acme, { part, programs, sha256 }),
      }
      const how = { as: false, replace: false, partial: false, withoutDomain: false, absent: [], ...more }
      return await recover({ id: acme, archive: opened, services: [restoring], authority, ...how })
    } finally {
      await opened.close()
    }
  }
  /** Runs the service's own provisioning loop. */
  const serving = async <T>(of: OperatorTenancy, work: Promise<T>): Promise<T> => {
    let over = false
    const looking = (async () => {
      while (!over) {
        await of.provisioner.provision(acme).catch(() => {})
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    })()
    try {
      return await work
    } finally {
      over = true
      await looking
    }
  }

  await t.test('that identity refuses is undone', async t => {
    await remove(2)
    const refuses = { restore: async () => Promise.reject(new Error('refused')) }
    await t.rejects(restore(identity('deleted', refuses)), { message: 'refused' })
    t.same(await texts(), ['later'])
    t.same(await beside(), [])
    t.match(await findTenant(central, acme), { lifecycle: 'deleted', provisioned: 'ready' })
  })

  await t.test('that identity did not accept, according to the next question, is undone too', async t => {
    const lost = { restore: async () => Promise.reject(new Error('cut off')) }
    await t.rejects(restore(identity('deleted', lost)), { message: 'cut off' })
    t.same(await texts(), ['later'])
    t.same(await beside(), [])
  })

  await t.test('with an unknown outcome stays as it is, and the next run decides', async t => {
    let asked = 0
    const silent = {
      find: async () => (asked++ < 3 ? { ...state, lifecycle: 'deleted' as const } : Promise.reject(new Error('down'))),
      restore: async () => Promise.reject(new Error('cut off')),
    }
    await t.rejects(restore(identity('deleted', silent)), {
      code: 'TRANSFER_FAILED',
      message: /it is unknown whether.*run the restore again/,
    })
    t.same(await texts(), ['kept'], 'the restored database is in its place')
    t.same(await beside(), ['past_employee_acme'], 'and the database before it is kept')

    const seen = { restore: async () => ({ ...state, version: 3 }) }
    const plan = await serving(older, restore(identity('deleted', seen)))
    t.equal(plan.case, 'deleted', 'undone, and done once more')
    t.same(await texts(), ['kept'])
    t.same(await beside(), [])
    t.match(await findTenant(central, acme), { lifecycle: 'active', version: 3, provisioned: 'ready' })
  })

  await t.test('whose answer was lost, and which identity accepted, is kept', async t => {
    await inside(sql => sql`update notes set body = 'later'`)
    await remove(4)
    let asked = 0
    const took = {
      find: async () => ({ ...state, version: 5, lifecycle: asked++ < 3 ? ('deleted' as const) : ('active' as const) }),
      restore: async () => Promise.reject(new Error('cut off')),
    }
    await serving(older, restore(identity('deleted', took)))
    t.same(await texts(), ['kept'])
    t.match(await findTenant(central, acme), { lifecycle: 'active', version: 5 })
  })

  await t.test('of a tenant that became another case meanwhile is not put in its place', async t => {
    await inside(sql => sql`update notes set body = 'later'`)
    let asked = 0
    const changes = {
      find: async () => ({ ...state, lifecycle: asked++ < 2 ? ('suspended' as const) : ('active' as const) }),
    }
    await t.rejects(restore(identity('suspended', changes), older, archive, { replace: true }), {
      message: /is active/,
    })
    t.same(await texts(), ['later'])
    t.same(await beside(), [])
  })

  await t.test('of an older schema is migrated, and one of a newer schema refused by name', async t => {
    const replace = { replace: true }
    await serving(newer, restore(identity('suspended'), newer, archive, replace))
    const columns = await inside(
      sql => sql`select column_name from information_schema.columns where table_name = 'notes'`,
    )
    t.ok(columns.some(({ column_name: name }) => name === 'pinned'))
    t.match(await findTenant(central, acme), { schemaVersion: 2, provisioned: 'ready' })
    const second = join(folder, 'newer.tar')
    await backUpTenant(acme, { services: [newer.transfer], programs, release: '0', to: second })
    await t.rejects(restore(identity('suspended'), older, second, replace), {
      code: 'TRANSFER_REFUSED',
      message: /employee: its schema is at version 2 \(pinned\), this release ends at 1/,
    })
    t.same(await beside(), [])
  })

  await t.test('beside another one of the same tenant is refused', async t => {
    const lock = 'distributed_tenant.restore:acme'
    await older.transfer.session(async sql => {
      await sql`select pg_advisory_lock(hashtextextended(${lock}, 0))`
      await t.rejects(restore(identity('suspended'), newer), { message: /Another restore/ })
      await sql`select pg_advisory_unlock(hashtextextended(${lock}, 0))`
    })
  })

  await t.test('a service that cannot be put back keeps no other from it', async t => {
    const opened = await openArchive(archive)
    t.teardown(() => opened.close())
    const recoverWith = async (failing: Partial<ServiceRestore>) => {
      const put: string[] = []
      const services = ['employee', 'core', 'identity'].map(service => {
        const restore: ServiceRestore = {
          service,
          part: opened.manifest.services[0] as ServiceRestore['part'],
          look: async () => ({ row: null, database: false }),
          obstacles: async () => [],
          settle: async () => [],
          build: async () => {},
          locked: fn => fn(),
          swap: async () => {},
          undo: async () => void put.push(service),
          sweep: async () => void put.push(service),
          ...(service === 'core' && failing),
        }
        return { parts: older.transfer, restore }
      })
      const how = { as: false, replace: false, partial: false, withoutDomain: false, absent: [] }
      const authority = identity('deleted', { restore: () => Promise.reject(new Error('refused')) })
      const outcome = recover({ id: acme, archive: opened, services, authority, ...how })
      await t.rejects(outcome, { code: 'TRANSFER_FAILED', message: /core could not be put back \(core is away\): run/ })
      return put
    }
    const away = () => Promise.reject(new Error('core is away'))
    t.same(await recoverWith({ undo: away }), ['employee', 'identity'], 'undone')
    t.same(await recoverWith({ build: away, sweep: away }), ['employee', 'identity'], 'swept')
  })

  await t.test('a cancelled backup leaves no file, and no program keeps running', async t => {
    const place = mkdtempSync(join(folder, 'stopped-'))
    const slow = mkdtempSync(join(folder, 'slow-'))
    writeFileSync(
      join(slow, 'pg_dump'),
      '#!/bin/sh\n[ "$1" = --version ] && exec pg_dump "$1"\necho begun; exec sleep 97\n',
    )
    writeFileSync(join(slow, 'pg_restore'), '#!/bin/sh\nexec pg_restore "$@"\n')
    for (const name of readdirSync(slow)) chmodSync(join(slow, name), 0o755)
    const stopping = new AbortController()
    const running = backUpTenant(acme, {
      services: [newer.transfer],
      programs: createPrograms({ folder: slow, environment: { PATH } }),
      release: '0',
      to: join(place, 'acme.tar'),
      signal: stopping.signal,
      onBytes: () => stopping.abort(new Error('enough')),
    })
    await t.rejects(running, { message: 'enough' })
    t.same(readdirSync(place), [])
    const alive = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n')
    t.notOk(alive.includes('sleep 97'))
  })
})
