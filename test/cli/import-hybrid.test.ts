// Tenants out of one shared server into a running stack: whole, with a writer that does not stop, killed at every step of
// the journal, refused for what is in the way, and back again.
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import t from 'tap'
import type { serviceNames } from '../../stack/names.js'
import { startStack } from '../../stack/stack.js'
import { awkwardNames, identifier, oldServer } from './import-source.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const crash = fileURLToPath(new URL('../faults/crash.js', import.meta.url))
const migration = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../services/${file}`, import.meta.url)), 'utf8')

interface Outcome {
  readonly code: number | string
  readonly out: string
  readonly err: string
}

t.test('import-hybrid', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'import-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const old = await oldServer(t)
  const stack = await startStack({ folder })
  t.teardown(() => stack.stop())

  const command = (args: readonly string[], env: Record<string, string> = {}, preload: readonly string[] = []) =>
    new Promise<Outcome>(resolve => {
      const { PATH = '' } = process.env
      const all = [...preload, program, '--config', join(folder, 'stack.json'), ...args]
      const options = { cwd: folder, env: { PATH, SOURCE_PASSWORD: old.password, ...env } }
      execFile(process.execPath, all, options, (error, out, err) => {
        resolve({ code: error ? (error.code ?? (error.signal as string)) : 0, out, err })
      })
    })
  const run = (...args: string[]) => command(['import-hybrid', '--from', old.url, '--yes', ...args])
  const json = async (...args: string[]) => {
    const { code, out, err } = await command(['--json', 'import-hybrid', '--from', old.url, '--yes', ...args])
    t.equal(code, 0, err + out)
    return JSON.parse(out)
  }
  const target = (service: (typeof serviceNames)[number], database?: string): postgres.Sql => {
    const { host, port, user, password, name } = stack.info.services[service].database
    const sql = postgres({ host, port, user, password, database: database ?? name, max: 1, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }
  const openAndWritable = async (name: string): Promise<boolean> => {
    const sql = old.look(name)
    const [row] = await sql<{ open: boolean }[]>`
      select current_setting('default_transaction_read_only') = 'off' and exists (
        select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
        where datname = current_database() and grantee = 0 and privilege_type = 'CONNECT') as open`
    await sql.end()
    return row?.open === true
  }
  const central = old.look('postgres')

  await t.test('plans, and names what is in the way', async t => {
    await old.database('tenant_Bad_Id_employee')
    const { code, out } = await run('--dry-run')
    t.equal(code, 1)
    t.match(out, /Bad_Id +its id breaks our rule; to import it as bad-id, say --map Bad_Id=bad-id/)
    const mapped = await run('--dry-run', '--map', 'Bad_Id=fine')
    t.equal(mapped.code, 0, mapped.out + mapped.err)
    t.match(mapped.out, /Bad_Id +fine/)
    await central`drop database "tenant_Bad_Id_employee"`
    t.match((await run('--dry-run')).out, /holds no database/)
    const secret = await command(['import-hybrid', '--from', 'postgres://postgres:geheim@localhost/x'])
    t.equal(secret.code, 2)
    t.notOk(secret.err.includes('geheim'))
    t.equal((await command(['import-hybrid', '--from', 'postgres://postgres@127.0.0.1:1/x'])).code, 1)
  })

  await t.test('brings a tenant with 300 awkward names, and data of our own tables', async t => {
    const names = awkwardNames(300)
    await old.database('tenant_acme_identity', migration('identity/migrations/tenant/001.do.users.sql'))
    await old.database(
      'tenant_acme_employee',
      migration('employee/migrations/tenant/001.do.employees.sql'),
      'create extension citext',
      ...names.map(
        (name, at) =>
          `create table ${identifier(name)} (${identifier(`id${name}`)} serial primary key, v text collate "C" default 'a''b', n numeric);
           insert into ${identifier(name)} (v, n) select 'row ' || g, g / 7.0 from generate_series(1, ${at % 5}) g`,
      ),
      `create view ${identifier('v"iew')} as select * from ${identifier(names[3] as string)}`,
    )
    await central`insert into tenants values ('acme', 'Acme "Corp"', 'acme.example', true)`
    const { tenants } = await json()
    t.match(tenants, [{ id: 'acme', state: 'ready', error: null }])
    const inside = target('employee', 'tenant_acme_employee')
    const [counted] = await inside`select count(*)::int as tables from pg_tables where schemaname = 'public'`
    t.equal(counted?.tables, 301, 'employees and the awkward ones')
    t.notOk(existsSync('/tmp/owned'))
    const shown = JSON.parse((await command(['--json', 'show', 'acme'])).out)
    t.match(shown, { name: 'Acme "Corp"', domain: 'acme.example', status: 'ready' })
    t.match(shown.services, { identity: { status: 'ready' }, employee: { status: 'ready' }, core: { status: 'ready' } })
    const users = await target(
      'identity',
      'tenant_acme_identity',
    )`select * from information_schema.columns where table_name = 'users'`
    t.ok(users.length > 5, 'brought to the newest version')
    t.equal((await command(['doctor'])).code, 0)
    t.notOk(await openAndWritable('tenant_acme_employee'), 'stays frozen')
    t.match((await run('--dry-run', '--tenant', 'acme')).out, /exists at employee/)
  })

  await t.test('loses nothing that a writer was told is written', async t => {
    await old.database(
      'tenant_busy_core',
      'create table log (n int primary key)',
      `insert into log select -g from generate_series(1, 20000) g`,
    )
    let writing = true
    const accepted: number[] = []
    let refused = 0
    const writer = (async () => {
      let sql = old.look('tenant_busy_core')
      for (let n = 1; writing; n++) {
        try {
          await sql`insert into log values (${n})`
          accepted.push(n)
        } catch {
          refused++
          void sql.end({ timeout: 0 })
          sql = old.look('tenant_busy_core')
        }
        await sleep(10)
      }
    })()
    await sleep(100)
    await json('--tenant', 'busy')
    writing = false
    await writer
    const there = new Set((await target('core', 'tenant_busy_core')`select n from log where n > 0`).map(row => row.n))
    t.ok(accepted.length > 0 && refused > 0, `${accepted.length} accepted, ${refused} refused`)
    t.same(
      accepted.filter(n => !there.has(n)),
      [],
    )
    t.equal(there.size, accepted.length)
  })

  await t.test('is killed at every step, goes on, and is taken back', async t => {
    const steps = [
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
    for (const [at, step] of steps.entries()) {
      const id = `killed${at}`
      const name = `tenant_${id}_core`
      await old.database(
        name,
        'create table facts (n int primary key)',
        'insert into facts select generate_series(1, 100)',
      )
      const killed = await command(
        ['import-hybrid', '--from', old.url, '--yes', '--tenant', id],
        { FAULT: `transfer.${step}` },
        ['--import', crash],
      )
      t.equal(killed.code, 'SIGKILL', `${step}: ${killed.err}`)
      const { runs } = JSON.parse((await command(['--json', 'import-hybrid', '--list'])).out)
      const last = runs[0].run ?? runs[0].id
      const resumed = await run('--resume', last)
      t.equal(resumed.code, 0, `${step} resumed: ${resumed.err}${resumed.out}`)
      const [count] = await target('core', name)`select count(*)::int as count from facts`
      t.equal(count?.count, 100, step)
      // Deleting is slower: every other one is enough.
      if (at % 3 > 0) continue
      const back = await run('--rollback', last)
      t.equal(back.code, 0, `${step} taken back: ${back.err}${back.out}`)
      t.same(await target('core')`select 1 from pg_database where datname = ${name}`, [])
      t.ok(await openAndWritable(name), `${step}: the source is open`)
    }
  })

  await t.test('undoes a tenant that cannot be brought, and leaves a foreign database alone', async t => {
    await old.database('tenant_odd_core', 'create table facts (n int primary key)')
    const away = await command(['import-hybrid', '--from', old.url, '--yes', '--tenant', 'odd'], { PATH: '/nowhere' })
    t.equal(away.code, 1)
    t.match(away.out, /install PostgreSQL/)
    const programs = mkdtempSync(join(folder, 'programs-'))
    for (const name of ['pg_dump', 'pg_restore']) {
      writeFileSync(join(programs, name), '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n')
      chmodSync(join(programs, name), 0o755)
    }
    t.match((await run('--tenant', 'odd', '--programs', programs)).out, /install postgresql-client-\d+/)
    writeFileSync(
      join(programs, 'pg_dump'),
      '#!/bin/sh\ncase "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";; *) head -c 500 /dev/urandom; exit 1;; esac\n',
    )
    writeFileSync(
      join(programs, 'pg_restore'),
      '#!/bin/sh\ncase "$1" in --version) echo "pg_restore (PostgreSQL) 99.1";; *) exec pg_restore "$@";; esac\n',
    )
    const broken = await run('--tenant', 'odd', '--programs', programs)
    t.equal(broken.code, 1)
    t.match(broken.out, /odd +failed/)
    t.ok(await openAndWritable('tenant_odd_core'), 'open again')
    t.same(await target('core')`select 1 from pg_database where datname = 'tenant_odd_core'`, [])
    await target('core')`create database tenant_odd_core`
    t.match((await run('--tenant', 'odd')).out, /exists at core/)
    await target('core')`drop database tenant_odd_core`
  })
})
