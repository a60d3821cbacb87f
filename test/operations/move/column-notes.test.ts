// A move from a server that notes on each column by which version it was made, to one that refuses the note, with programs that
// copy it: the plan names the package, and the programs of the source's own version are used where they are installed.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t from 'tap'
import { createJournal } from '../../../operations/copying/journal.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import { takesNote } from '../../../operations/copying/server-release.js'
import { planMove } from '../../../operations/move/plan.js'
import { beginMove, carryOutMove } from '../../../operations/move/run.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import { findServers } from '../../../stack/servers/find.js'
import { noPostgres, otherPostgres } from '../../other-postgres.js'
import { severalInstances } from '../../plugins/distributed-tenant/placement/several.js'

t.test('a move to a server that refuses pg_attver', async t => {
  const bin = otherPostgres(t, 17)
  if (bin === null) return void t.pass(noPostgres(17), { skip: true })
  const { tenancy: parts, app: build, instances, look } = await severalInstances(t, bin)
  const app = await build('employee', { instances })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await app.tenants.run('acme', ({ sql }) => sql`insert into notes (body) values ('kept')`)
  const { move } = await parts('employee', { instances })
  if (!(await move.sessionAt('main')(takesNote))) {
    const [{ version } = {}] = await look('employee')`select version()`
    return void t.pass(`this machine has ${version}, which makes no such notes`, { skip: true })
  }
  t.notOk(await move.sessionAt('b')(takesNote), 'PostgreSQL 17.10 refuses it')

  const folder = mkdtempSync(join(tmpdir(), 'programs-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { bin: own } = findServers().postgres
  const [, major = ''] = / (\d+)\./.exec(execFileSync(join(own, 'pg_dump'), ['--version'], { encoding: 'utf8' })) ?? []
  // As pg_dump 18.6 does: this machine's own leaves the note out, so it is written behind what that prints.
  const older = join(folder, 'older')
  mkdirSync(older)
  const pretends = (name: string, after: string) => {
    const text = `#!/bin/sh\n[ "$1" = --version ] && exec echo '${name} (PostgreSQL) 18.6'\n${join(own, name)} "$@" || exit\n${after}\n`
    writeFileSync(join(older, name), text)
    chmodSync(join(older, name), 0o755)
  }
  pretends('pg_dump', "echo 'ALTER TABLE ONLY public.notes ALTER COLUMN id SET (pg_attver=1);'")
  pretends('pg_restore', '')
  const id = parseTenantId('acme')
  const plan = (programs: ReturnType<typeof createPrograms>) =>
    planMove(move, { programs, id, to: 'b', folder, room: 2 ** 40 })

  const named = await plan(createPrograms({ folder: older, environment: process.env }))
  t.match(named.obstacles, [
    {
      about: 'tenant_acme_employee',
      blocks: true,
      what: new RegExp(
        `pg_attver of PostgreSQL ${major}\\.\\d+, which pg_dump 18\\.6 copies .*: install postgresql-client-${major} of version ${major}\\.\\d+ or later, or name its folder with --programs`,
      ),
    },
  ])

  // Found by PATH, with the source's own beside them, in the place of Debian's packages.
  const environment = { PATH: [older, process.env.PATH].join(delimiter) }
  const versions = join(folder, 'versions')
  mkdirSync(join(versions, major), { recursive: true })
  t.match((await plan(createPrograms({ environment, versions }))).obstacles, [{ blocks: true }], 'no own ones')
  symlinkSync(own, join(versions, major, 'bin'))
  const programs = createPrograms({ environment, versions })
  const chosen = await plan(programs)
  t.same(
    chosen.obstacles.filter(({ blocks }) => blocks),
    [],
  )
  const journal = createJournal(move.central)
  const how = { journal, programs, folder, jobs: 1 }
  t.match(await carryOutMove(move, await beginMove(journal, chosen), how), { state: 'moved', to: 'b' })
  t.match(await app.tenants.run('acme', ({ sql }) => sql`select body from notes`), [{ body: 'kept' }])
})
