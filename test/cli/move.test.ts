// The command `move` as an operator types it, beside a running service: killed at every step of its journal and
// resumed, killed and rolled back, and its output.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MOVE_REPORTS } from '../../operations/move/move.js'
import { moveStand } from './move-stand.js'

t.test('move', async t => {
  const stand = await moveStand(t)
  const { app, look, instances, central, folder, command, killedAt, last, place, write, count } = stand

  await app.tenants.create({ id: 'acme', name: 'Acme' })
  for (const body of ['one', 'two', 'three']) await write('acme', body)

  await t.test('prints its plan, and the faults of the call', async t => {
    const { code, out } = await command(['move', 'acme', '--to', 'b', '--frozen', '--dry-run'])
    t.equal(code, 0, out)
    t.match(out, /acme: main -> b, .* writers are refused for roughly \d+ s/)
    t.match(out, /b +PostgreSQL does not report how much room .* pass it with --room <size> +false/)
    const roomy = await command(['move', 'acme', '--to', 'b', '--frozen', '--dry-run', '--room', '1TB'])
    t.match(roomy.out, /Nothing is in the way/)
    const little = await command(['move', 'acme', '--to', 'b', '--yes', '--frozen', '--room', '1MB'])
    t.equal(little.code, 1)
    t.match(little.out, /b +has 1.0 MB free \(--room\), .* or move it to another instance +true/)
    t.equal((await command(['move', 'acme', '--to', 'b', '--room', 'much'])).code, 2)
    t.equal((await command(['move', 'acme'])).code, 2)
    t.equal((await command(['move', '--to', 'b'])).code, 2)
    const unasked = await command(['move', 'acme', '--to', 'b', '--frozen'])
    t.equal(unasked.code, 2)
    t.match(unasked.err, /pass --yes/)
    const nowhere = await command(['move', 'acme', '--to', 'c', '--yes'])
    t.equal(nowhere.code, 1)
    t.match(nowhere.err, /no instance c/)
    t.same(await place('acme'), { instance: 'main', moving: null })
  })

  await t.test('killed at every step, it resumes', async t => {
    t.ok(MOVE_REPORTS.length > 12)
    for (const [at, step] of MOVE_REPORTS.entries()) {
      await killedAt(step, ...(at === 0 ? ['acme', '--to', 'b', '--frozen'] : ['--resume', await last()]))
      if (step === 'copied') {
        t.equal(await count('acme'), 3, 'reads are served while no process resumes it')
        t.equal(await write('acme', 'refused'), 'TENANT_MOVING')
      }
    }
    const { code, out, err } = await command(['--json', 'move', '--resume', await last(), '--yes'])
    t.equal(code, 0, out + err)
    const output = JSON.parse(out)
    t.match(output, { tenant: 'acme', from: 'main', to: 'b', state: 'moved' })
    t.ok(output.frozenMs > 0 && output.memoryBytes > 0, out)
    t.same(await place('acme'), { instance: 'b', moving: null })
    t.equal(await count('acme'), 3)
    t.equal(await write('acme', 'four'), null)
    t.match((await command(['move', '--list'])).out, /acme +main>b +frozen +done +switched/)
    t.match((await command(['status'])).out, /acme +ready 1 @b/)
    t.match((await command(['sizes'])).out, /employee +b +tenant_acme_employee/)
    t.match((await command(['run', '--', 'sh', '-c', 'echo $PGPORT'])).out, new RegExp(`acme: ${instances.b?.port}`))
    const late = await command(['move', '--rollback', await last(), '--yes'])
    t.equal(late.code, 1)
    t.match(late.err, /on the instance b already: to have it back, move it to main/)
  })

  await t.test('drops the leftovers on request', async t => {
    const { code, out, err } = await command(['move', 'acme', '--drop-source', '--yes'])
    t.equal(code, 0, out + err)
    t.same(await look('employee')`select 1 from pg_database where datname ~ 'acme'`, [])
    t.equal((await command(['move', 'acme', '--drop-source', '--yes'])).code, 1)
  })

  await t.test('is recorded, before it begins and with its end, also when it was killed', async t => {
    const rows = await central<{ result: string; to: string | null }[]>`
      select result, detail->>'to' as to from audit_log
      where detail->>'command' = 'move' and kind = 'admin' and tenant_id = 'acme' order by at`
    t.match(rows[0], { result: 'begun' })
    t.ok(
      rows.some(({ to }) => to === 'b'),
      'where to',
    )
    t.ok(rows.some(({ result }) => result === 'ok'))
    t.ok(
      rows.filter(({ result }) => result === 'begun').length > rows.filter(({ result }) => result !== 'begun').length,
      'a killed one has no end',
    )
  })

  await t.test('killed before the switch, it is rolled back from anywhere', async t => {
    for (const step of ['prepared', 'closed_to_writers', 'restored', 'accepted', 'closing', 'closed']) {
      await killedAt(step, 'acme', '--to', 'main', '--frozen')
      const { code, out, err } = await command(['move', '--rollback', await last(), '--yes'])
      t.equal(code, 0, `${step}: ${out}${err}`)
      t.same(await place('acme'), { instance: 'b', moving: null }, step)
      t.equal(await write('acme', `after ${step}`), null, step)
      t.same(await look('employee')`select 1 from pg_database where datname ~ 'acme'`, [], step)
    }
    t.equal(await count('acme'), 10)
    const { code, out } = await command(['doctor'])
    t.notMatch(out, /acme/, `${code}`)
  })

  await t.test('a copy that fails is undone by itself', async t => {
    const programs = mkdtempSync(join(folder, 'programs-'))
    // The plan tries the definitions, so this pg_dump fails with rows alone.
    for (const name of ['pg_dump', 'pg_restore']) {
      const text =
        name === 'pg_dump'
          ? '#!/bin/sh\ncase "$*" in --version) echo "pg_dump (PostgreSQL) 99.1";; *--schema-only*) exec pg_dump "$@";; *) head -c 500 /dev/urandom; exit 1;; esac\n'
          : '#!/bin/sh\ncase "$1" in --version) echo "pg_restore (PostgreSQL) 99.1";; *) exec pg_restore "$@";; esac\n'
      writeFileSync(join(programs, name), text, { mode: 0o755 })
    }
    const { code, err } = await command(['move', 'acme', '--to', 'main', '--frozen', '--yes', '--programs', programs])
    t.equal(code, 1)
    t.match(err, /failed.*was taken back: it is served where it was/s)
    t.equal(await write('acme', 'after the failure'), null)
    t.same(await place('acme'), { instance: 'b', moving: null })
  })
})
