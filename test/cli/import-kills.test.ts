// A process that imports two tenants of two services side by side is killed at every step of its journal, on the way
// there and on the way back. Each process resumes the work of the one before; at the end nothing is lost and nothing
// is left.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { ServiceName } from '../../stack/names.js'
import { type ImportStand, importStand } from './import-stand.js'

const driver = fileURLToPath(new URL('./import-driver.js', import.meta.url))
const crash = fileURLToPath(new URL('../faults/crash.js', import.meta.url))

const forward = [
  'freezing',
  'closed',
  'frozen',
  'copying',
  'created',
  'restored',
  'copied',
  'verified',
  'handed_over',
  'accepted',
  'registering',
  'registered',
  'ready',
]
const back = ['undoing', 'removed', 'thawed', 'undone']
const services: ServiceName[] = ['employee', 'core']
const databases: [string, ServiceName][] = [
  ['tenant_one_employee', 'employee'],
  ['tenant_one_core', 'core'],
  ['tenant_two_core', 'core'],
]

t.test('an import that is killed', async t => {
  const stand = await importStand(t)
  for (const [name] of databases) await fill(stand, name)

  /** Null: to its end. */
  async function driven(how: 'resume' | 'rollback', run: string, diesAt: string | null): Promise<void> {
    const config = join(stand.folder, 'stack.json')
    const args = ['--import', crash, driver, config, services.join(), stand.old.url, how, run]
    const { code, out, err } = await stand.node(args, diesAt ? { FAULT: `transfer.${diesAt}` } : {})
    t.equal(code, diesAt ? 'SIGKILL' : 0, `${how}, ${diesAt ?? 'to its end'}: ${out}${err}`)
  }

  await t.test('in the middle, and rolled back at once, with kills on the way back', async t => {
    for (const step of ['closed', 'restored', 'accepted']) {
      const run = await stand.begin(services, ['one', 'two'])
      await driven('resume', run, step)
      const { code, out } = await stand.command(['doctor'])
      t.equal(code, 3, out)
      t.match(out, new RegExp(`being imported +(one|two) .*import-hybrid --from … --rollback ${run}`))
      t.notMatch(out, /stray database|by hand/)
      for (const again of back) await driven('rollback', run, again)
      await driven('rollback', run, null)
      await isAsBefore(t, stand)
    }
  })

  await t.test('at every step, resumed each time, then rolled back with kills on the way', async t => {
    await stand.old.look('postgres')`
      insert into tenants select id, id, null, false from unnest(array['one', 'two']) id`
    const run = await stand.begin(services, ['one', 'two'])
    for (const step of forward) {
      await driven('resume', run, step)
      if (step !== 'registered' && step !== 'ready') continue
      const { tenants } = JSON.parse((await stand.command(['--json', 'list'])).out)
      t.ok(tenants.length > 0, `after ${step}`)
      for (const { id, lifecycle } of tenants)
        t.equal(lifecycle, 'suspended', `${id} is not served, nor was at the source`)
    }
    await driven('resume', run, null)
    for (const [name, service] of databases) {
      t.same(await sumOf(stand.target(service, name)), expected, `${name} is here`)
      t.notOk(await stand.old.isOpen(name), `${name} stays frozen`)
    }
    const shown = JSON.parse((await stand.command(['--json', 'show', 'two'])).out)
    t.match(shown, {
      status: 'ready',
      lifecycle: 'suspended',
      services: { employee: { status: 'ready' }, core: { status: 'ready' } },
    })
    for (const step of back) await driven('rollback', run, step)
    await driven('rollback', run, null)
    await isAsBefore(t, stand)
    const gone = await stand.command(['show', 'two'])
    t.equal(gone.code, 1, 'identity has deleted it')
  })
})

const rows = 200
const expected = [{ count: rows, sum: (rows * (rows + 1)) / 2 }]

const fill = ({ old }: ImportStand, name: string): Promise<void> =>
  old.database(
    name,
    'create table facts (n int primary key, title text)',
    `insert into facts select n, 'title ' || n from generate_series(1, ${rows}) n`,
  )

async function sumOf(sql: ReturnType<ImportStand['target']>): Promise<unknown[]> {
  const found = await sql`select count(*)::int as count, sum(n)::int as sum from facts`
  await sql.end()
  return [...found]
}

async function isAsBefore(t: Test, { old, exists }: ImportStand): Promise<void> {
  for (const [name, service] of databases) {
    t.notOk(await exists(service, name), `${name} is not here`)
    t.ok(await old.isOpen(name), `${name} is open at the source`)
    t.same(await sumOf(old.look(name)), expected)
  }
}
