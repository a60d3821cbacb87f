import { fork } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { forcedRows } from '../../../../operations/copying/not-copyable.js'
import { type OperatorTenancy, withOperations } from '../../../../operations/parts.js'
import { readEnvironment } from '../../../../plugins/distributed-tenant/config/environment.js'
import { settle } from '../../../../plugins/distributed-tenant/config/settings.js'
import { migrateFleet, resumeRun, rollBackRun } from '../../../../plugins/distributed-tenant/migration-runs/migrate.js'
import { listRuns } from '../../../../plugins/distributed-tenant/migration-runs/runs.js'
import { createTenancy } from '../../../../plugins/distributed-tenant/tenancy.js'
import type { QueryClient } from '../../../../plugins/distributed-tenant/types.js'
import { notes, rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('a migration of all tenants', async t => {
  const { app: build, database, look } = await rig(t, ['employee'])
  const folder = mkdtempSync(join(tmpdir(), 'fleet-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const release = (name: string, files: Record<string, string>): string => {
    const path = join(folder, name)
    cpSync(notes, path, { recursive: true })
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
    return path
  }
  const second = release('second', {
    '002.do.pinned.sql': 'alter table notes add column pinned boolean not null default false;',
    '002.undo.pinned.sql': 'alter table notes drop column pinned;',
  })
  const third = release('third', {
    '002.do.pinned.sql': 'alter table notes add column pinned boolean not null default false;',
    '002.undo.pinned.sql': 'alter table notes drop column pinned;',
    '003.do.unique.sql': 'create unique index notes_text on notes (body);',
  })
  const open = (migrations: string): OperatorTenancy => {
    const tenancy = withOperations(
      createTenancy(
        settle(
          {
            service: 'employee',
            database: database('employee'),
            migrations: { tenant: migrations },
            nats: null,
            redis: null,
          },
          readEnvironment({}),
        ),
      ),
    )
    t.teardown(() => tenancy.close())
    return tenancy
  }
  const central = look('employee', 'employee_central')
  const versions = async (): Promise<Record<number, number>> => {
    const rows = await central`select schema_version as version, count(*)::int from tenants group by 1`
    return Object.fromEntries(rows.map(({ version, count }) => [version, count]))
  }
  const inDatabase = async (id: string) => {
    const sql = look('employee', `tenant_${id}_employee`)
    const [row] =
      await sql`select max(version) as version from distributed_tenant.schema_migrations where set = 'tenant'`
    await sql.end({ timeout: 1 })
    return row?.version
  }
  const app = await build('employee', { migrations: { tenant: notes } })
  const ids = Array.from({ length: 24 }, (_, n) => `t-${String(n).padStart(2, '0')}`)
  for (const id of ids) await app.tenants.create({ id, name: id })
  await app.close()
  const atSecond = open(second)
  const atThird = open(third)

  await t.test('with nothing to do asks one question and writes nothing', async t => {
    const { fleet } = open(notes)
    const [before] = await central`select calls from (select count(*) as calls from migration_runs) runs`
    t.same(await migrateFleet(fleet), { run: null, failed: [] })
    t.same((await central`select calls from (select count(*) as calls from migration_runs) runs`)[0], before)
  })

  await t.test('names forced row security, which backup and move refuse', async t => {
    const forced = look('employee', 'tenant_t-01_employee')
    await forced`alter table notes force row level security`
    const named: unknown[] = []
    const after = async (inside: QueryClient) => void named.push(await forcedRows(inside))
    await migrateFleet(atSecond.fleet, { only: ['t-01'], after })
    await forced`alter table notes no force row level security`
    t.match(named, [{ what: /forced row security on public\.notes/, cure: /no force row level security/ }])
    const [run] = await listRuns(central, 1)
    await rollBackRun(atSecond.fleet, run?.id ?? '')
    t.same(await versions(), { 1: 24 })
  })

  await t.test('stops at a canary that fails, with all others unchanged', async t => {
    const poisoned = look('employee', 'tenant_t-05_employee')
    await poisoned`alter table notes add column pinned text`
    const { run, failed } = await migrateFleet(atSecond.fleet, { canaries: ['t-05'] })
    t.match(run, { state: 'stopped', reason: 'a canary failed', counts: { pending: 23, failed: 1, done: 0 } })
    t.match(failed, [{ id: 't-05', error: /pinned/ }])
    t.same(await versions(), { 1: 24 })
  })

  await t.test('stops when too many fail', async t => {
    for (const id of ['t-06', 't-07'])
      await look('employee', `tenant_${id}_employee`)`alter table notes add column pinned text`
    const { run } = await migrateFleet(atSecond.fleet, { stopAt: 0.05, concurrency: 1 })
    t.match(run, { state: 'stopped', reason: 'too many failures' })
    t.ok((run?.counts.pending ?? 0) > 0)
  })

  await t.test('continues past those that fail, names them, and retries them alone', async t => {
    const reported: string[] = []
    const { run, failed } = await migrateFleet(atSecond.fleet, {
      stopAt: 1,
      onTenant: ({ id, state }) => reported.push(`${id} ${state}`),
    })
    t.same(
      failed.map(({ id }) => id),
      ['t-05', 't-06', 't-07'],
    )
    t.match(run, { state: 'done', target: 2 })
    t.same(await versions(), { 1: 3, 2: 21 })
    t.equal(await inDatabase('t-05'), 1, 'one that failed keeps the version it had')
    for (const id of ['t-05', 't-06', 't-07'])
      await look('employee', `tenant_${id}_employee`)`alter table notes drop column pinned`
    reported.length = 0
    const again = await resumeRun(atSecond.fleet, run?.id ?? '', {
      onTenant: ({ id, state }) => reported.push(`${id} ${state}`),
    })
    t.match(again, { run: { state: 'done', counts: { failed: 0, pending: 0 } }, failed: [] })
    t.same(reported.sort(), ['t-05 done', 't-06 done', 't-07 done'])
    t.same(await versions(), { 2: 24 })
  })

  await t.test('is undone as far as this run had gone, and not without an undo file', async t => {
    const [run] = (await listRuns(central as never, 50)).filter(({ state }) => state === 'done')
    await t.rejects(rollBackRun(atThird.fleet, 'nothing'), { code: 'MIGRATION_RUN_NOT_FOUND' })
    const third = await migrateFleet(atThird.fleet, { stopAt: 1 })
    t.same(await versions(), { 3: 24 })
    await t.rejects(rollBackRun(atThird.fleet, third.run?.id ?? ''), {
      code: 'MIGRATION_INVALID',
      message: /3 \(unique\)/,
    })
    t.same(await versions(), { 3: 24 }, 'refused before any change')
    for (const id of ids) {
      const sql = look('employee', `tenant_${id}_employee`)
      await sql`drop index notes_text`
      await sql`delete from distributed_tenant.schema_migrations where set = 'tenant' and version = 3`
      await sql.end({ timeout: 1 })
    }
    await central`update tenants set schema_version = 2`
    const { run: back } = await rollBackRun(atSecond.fleet, run?.id ?? '')
    t.match(back, { state: 'rolled_back' })
    t.equal(await inDatabase('t-23'), 1)
    t.ok((await versions())[1])
  })

  await t.test('continues after the process was killed in the middle', async t => {
    await central`delete from migration_runs`
    const target = open(second)
    await migrateFleet(target.fleet, { stopAt: 1 })
    const slow = release('slow', {
      '002.do.pinned.sql': 'alter table notes add column pinned boolean not null default false;',
      '002.undo.pinned.sql': 'alter table notes drop column pinned;',
      '003.do.slow.sql': 'select pg_advisory_xact_lock(7); alter table notes add column slow integer;',
    })
    // One tenant waits for the test, so that the run cannot end before it is killed.
    const holder = look('employee', 'tenant_t-20_employee')
    await holder`select pg_advisory_lock(7)`
    const child = fork(new URL('./run-migration.js', import.meta.url), {
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        OPTIONS: JSON.stringify({ database: database('employee'), migrations: slow }),
      },
      stdio: 'ignore',
    })
    await new Promise<void>(resolve => {
      let done = 0
      child.on('message', () => ++done === 6 && resolve())
    })
    // Not by its age: it is long past the grace for its lock.
    const [begun] = await central<{ id: string }[]>`
      update migration_runs set started_at = now() - interval '1 hour' where state = 'running' returning id`
    const listed = async () => (await listRuns(target.fleet.central, 10)).find(({ id }) => id === begun?.id)
    t.equal((await listed())?.state, 'running', 'its process lives')
    child.kill('SIGKILL')
    await new Promise(resolve => child.once('exit', resolve))
    const killed = await until('the server has noticed it', async () => {
      const found = await listed()
      return found?.state === 'interrupted' ? found : undefined
    })
    await holder.end()
    const done = killed?.counts.done ?? 0
    t.ok(done >= 5 && done < 24, `${done} of 24 were done`)
    const { run, failed } = await resumeRun(open(slow).fleet, killed?.id ?? '')
    t.match(run, { state: 'done', counts: { done: 24, pending: 0, failed: 0 } })
    t.same(failed, [])
    t.same(await versions(), { 3: 24 })
    for (const id of ids) t.equal(await inDatabase(id), 3, id)
  })
})
