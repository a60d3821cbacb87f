// `migrate` of many tenants, some of them poisoned, by processes of the operator's command that are killed at random
// moments and resumed as an operator would. Then every database is inspected. A violation is a tenant at the wrong
// version, in the registry or inside, or a last run that does not name exactly the poisoned ones.
import { type ChildProcess, execFile } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { random } from '../../../bench/distribution.js'
import type { Progress } from '../../../bench/progress.js'
import type { OperatorTenancy } from '../../../operations/parts.js'
import { makeFolder } from '../../../stack/servers/folder.js'
import { notes, type Rig, rig, roleSecret } from '../../rig.js'

export interface MigrateKillsOptions {
  readonly tenants: number
  readonly kills: number
  readonly seed: number
  readonly progress: Progress
}

export interface MigrateKillsVerdict {
  readonly tenants: number
  /** The number of tenants that had ended at each kill. */
  readonly killedAt: readonly number[]
  readonly migrated: number
  /** Those that the last run named. */
  readonly named: readonly string[]
  readonly violations: readonly string[]
}

const program = fileURLToPath(new URL('../../../cli/main.js', import.meta.url))
const SIDE_BY_SIDE = 4
/** The approximate time of the command before its first tenant. */
const START_MS = 900

// Slow enough in the middle for a kill to hit it, and poisoned after its first half.
const migration = `alter table notes add column pinned boolean not null default false;
select pg_sleep(0.02);
create table pins (id integer primary key);`

export async function killMigrations(options: MigrateKillsOptions): Promise<MigrateKillsVerdict> {
  const teardowns: (() => unknown)[] = []
  const folder = makeFolder()
  try {
    const made = await rig({ teardown: (fn: () => unknown) => teardowns.push(fn) } as never, ['employee'])
    const config = prepareFolder(folder.path, made)
    const tenancy = await made.tenancy('employee')
    return await hunt(options, made, tenancy, config)
  } finally {
    for (const teardown of teardowns.reverse()) await teardown()
    folder.remove()
  }
}

function prepareFolder(folder: string, { database }: Rig): string {
  const release = join(folder, 'release')
  cpSync(notes, release, { recursive: true })
  writeFileSync(join(release, '002.do.pinned.sql'), migration)
  const { database: name, host, port, user, password } = database('employee')
  const employee = { database: { host, port, user, password, name }, migrations: { tenant: release } }
  const path = join(folder, 'config.json')
  writeFileSync(path, JSON.stringify({ services: { employee }, tenantRoleSecret: roleSecret }), { mode: 0o600 })
  return path
}

async function hunt(
  { tenants: count, kills, seed, progress }: MigrateKillsOptions,
  { look }: Rig,
  tenancy: OperatorTenancy,
  config: string,
): Promise<MigrateKillsVerdict> {
  const ids = Array.from({ length: count }, (_, n) => `t-${String(n).padStart(3, '0')}`)
  const poisoned = [0, count >> 1, count - 1].map(at => ids[at] as string)
  progress.begin('making tenants', count)
  await makeTenants(tenancy, ids, progress)
  for (const id of poisoned) {
    await tenancy.fleet.withDirectConnection(`tenant_${id}_employee`, sql => sql`create table pins (of_another text)`)
  }
  const central = look('employee', 'employee_central')
  const ended = async (): Promise<number> => {
    const [row] = await central<{ ended: number }[]>`
      select count(*)::int as ended from migration_run_tenants where state <> 'pending'`
    return row?.ended ?? 0
  }

  async function live(): Promise<Life> {
    const [run] = await central<{ id: string }[]>`select id from migration_runs order by started_at desc limit 1`
    return startLife(['--config', config, 'migrate', '--skip-failing', ...(run ? ['--resume', run.id] : [])])
  }

  const violations: string[] = []
  const killedAt: number[] = []
  const next = random(seed)
  // All kills together leave some for the last run, those that are under way at a kill counted.
  const most = Math.floor((count - SIDE_BY_SIDE) / kills) - SIDE_BY_SIDE
  progress.begin('kills', kills)
  for (let kill = 0; kill < kills; kill++) {
    const goal = Math.floor(next() * most)
    const begun = await ended()
    const life = await live()
    // Also while it starts, before its first tenant.
    if (goal === 0) await sleep(next() * START_MS)
    else while (life.running() && (await ended()) < begun + goal) await sleep(5)
    await sleep(next() * 30)
    if (life.running()) life.kill()
    else violations.push(`kill ${kill + 1}: it had ended by itself: ${(await life.over).output}`)
    await life.over
    killedAt.push(await ended())
    progress.step(`${killedAt.at(-1)} had ended`)
  }

  const last = await (await live()).over
  if (last.code !== 1) violations.push(`the last run ended with ${last.code}: ${last.output}`)
  const named = ids.filter(id => new RegExp(`^${id} .*pins.*already exists`, 'm').test(last.output))
  if (named.join() !== poisoned.join()) violations.push(`named were ${named}, poisoned ${poisoned}`)
  const runs = await central`select state from migration_runs`
  if (runs.map(({ state }) => state).join() !== 'done') violations.push(`the runs are ${JSON.stringify(runs)}`)
  progress.begin('inspecting databases', count)
  const wrong = await judge(tenancy, new Set(poisoned), progress)
  return {
    tenants: count,
    killedAt,
    migrated: count - poisoned.length - wrong.filter(({ poisoned }) => !poisoned).length,
    named,
    violations: [...violations, ...wrong.map(({ what }) => what)],
  }
}

/** Clones of the template with a row each: the parts that `migrate` reads, without the parts of a served tenant. */
async function makeTenants(
  { fleet: { central } }: OperatorTenancy,
  ids: readonly string[],
  progress: Progress,
): Promise<void> {
  const line = ids[Symbol.iterator]()
  const make = async () => {
    for (const id of line) {
      await central.unsafe(`create database "tenant_${id}_employee" template template_employee_1`)
      await central`
        insert into tenants (id, name, provisioned, schema_version, ready_at) values (${id}, ${id}, 'ready', 1, now())`
      progress.step(id)
    }
  }
  await Promise.all([make(), make(), make()])
}

interface Life {
  readonly running: () => boolean
  readonly kill: () => void
  readonly over: Promise<{ code: number | null; output: string }>
}

function startLife(args: readonly string[]): Life {
  let child: ChildProcess | undefined
  let running = true
  const over = new Promise<{ code: number | null; output: string }>(resolve => {
    const { PATH } = process.env
    child = execFile(process.execPath, [program, ...args], { env: { PATH } }, (_, out, err) => {
      running = false
      resolve({ code: child?.exitCode ?? null, output: out + err })
    })
  })
  return { running: () => running, kill: () => child?.kill('SIGKILL'), over }
}

/** Every tenant is entirely at its version, inside and in the registry. */
async function judge(
  { fleet: { central, withDirectConnection } }: OperatorTenancy,
  poisoned: ReadonlySet<string>,
  progress: Progress,
): Promise<{ what: string; poisoned: boolean }[]> {
  const wrong: { what: string; poisoned: boolean }[] = []
  const rows = await central<{ id: string; version: number }[]>`select id, schema_version as version from tenants`
  const line = rows[Symbol.iterator]()
  const worker = async () => {
    for (const { id, version } of line) {
      const of = poisoned.has(id)
      const [inside] = await withDirectConnection(
        `tenant_${id}_employee`,
        sql => sql<{ version: number; columns: number; table: boolean }[]>`
          select (select max(version) from distributed_tenant.schema_migrations where set = 'tenant') as version,
            (select count(*)::int from pg_attribute where attrelid = 'notes'::regclass and attname = 'pinned') as columns,
            exists (select from pg_attribute where attrelid = to_regclass('pins') and attname = 'id') as table`,
      )
      const found = JSON.stringify({ registry: version, ...inside })
      const wanted = JSON.stringify(
        of
          ? { registry: 1, version: 1, columns: 0, table: false }
          : { registry: 2, version: 2, columns: 1, table: true },
      )
      if (found !== wanted) wrong.push({ what: `${id} is ${found}, not ${wanted}`, poisoned: of })
      progress.step(id)
    }
  }
  await Promise.all([worker(), worker()])
  return wrong
}
