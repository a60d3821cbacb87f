// A tenant into an archive and back on a running stack: after its deletion, after its databases were dropped, as a new
// tenant, over an existing one; killed at every step; refused where it does not fit; and exported for a leaving customer.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import t from 'tap'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { parseServiceName } from '../../plugins/distributed-tenant/names.js'
import { interruptedRuns } from '../../plugins/distributed-tenant/registry/interrupted-runs.js'
import { serviceNames } from '../../stack/names.js'
import { startServers } from '../../stack/servers/start.js'
import { startStack } from '../../stack/stack.js'
import { until } from '../until.js'
import { awkwardNames, identifier } from './import-source.js'
import { operatorCommands } from './operator-commands.js'

const crash = fileURLToPath(new URL('../faults/crash.js', import.meta.url))
const password = 'a-password-of-the-tests'

t.test('backup, restore, export', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'backup-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const stack = await startStack({ folder })
  t.teardown(() => stack.stop())
  const { identity, employee } = stack.info.services

  const { run, alone } = operatorCommands(t, folder)
  const command = (
    args: readonly string[],
    { env, preload, shell }: { env?: Record<string, string>; preload?: readonly string[]; shell?: string } = {},
  ) => {
    const all = ['--config', join(folder, 'stack.json'), ...args]
    return preload || shell ? alone(all, env, { node: preload ?? [], shell }) : run(all, env)
  }
  const json = async (...args: string[]) => {
    const { code, out, err } = await command(['--json', ...args])
    t.equal(code, 0, `${args.join(' ')}: ${err}${out}`)
    return JSON.parse(out)
  }
  const refused = async (output: RegExp, code: number, ...args: string[]) => {
    const outcome = await command(args)
    t.equal(outcome.code, code, `${args.join(' ')}: ${outcome.err}${outcome.out}`)
    t.match(outcome.err, output)
  }
  const sqls = new Map<string, postgres.Sql>()
  /** As the service's own role. A tenant's database is not held open: the command renames it. */
  const look = (service: (typeof serviceNames)[number], database?: string): postgres.Sql => {
    const { host, port, user, password: secret, name } = stack.info.services[service].database
    const key = `${service} ${database}`
    const known = sqls.get(key)
    if (known) return known
    const settings = { host, port, user, password: secret, max: 1, onnotice() {} }
    const sql = postgres({
      ...settings,
      database: database ?? name,
      ...(database && { idle_timeout: 1, max_lifetime: 5 }),
    })
    if (!database) sqls.set(key, sql)
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }
  const inside = async <T>(
    service: (typeof serviceNames)[number],
    id: string,
    fn: (sql: postgres.Sql) => Promise<T>,
  ) => {
    const sql = look(service, `tenant_${id}_${service}`)
    try {
      return await fn(sql)
    } finally {
      await sql.end({ timeout: 1 })
    }
  }
  const admin = async (method: string, path: string, body?: object) =>
    fetch(new URL(path, identity.url), {
      method,
      headers: {
        authorization: `Bearer ${stack.info.adminToken}`,
        ...(body && { 'content-type': 'application/json' }),
        prefer: 'wait=60',
      },
      ...(body && { body: JSON.stringify(body) }),
    })
  const tenantOf = async (id: string) =>
    (await (await admin('GET', `/api/tenants/${id}?lifecycle=deleted`)).json()) as { status: string; lifecycle: string }
  const logsIn = async (tenant: string): Promise<number> => {
    const response = await fetch(new URL('/api/login', identity.url), {
      method: 'POST',
      headers: { 'hrms-client-id': tenant, 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'ada@acme.example', password }),
    })
    return response.status
  }
  const databases = async (pattern: string): Promise<string[]> => {
    const names: string[] = []
    for (const service of serviceNames) {
      const rows = await look(service)`select datname as name from pg_database where datname like ${pattern}`
      names.push(...rows.map(({ name }) => name as string))
    }
    return names.sort()
  }
  const contents = async (id: string): Promise<Record<string, string>> => {
    const { tenants } = await json('verify', id)
    return Object.fromEntries(tenants.map((one: { service: string; contents: string }) => [one.service, one.contents]))
  }
  const notes = (id: string) =>
    inside('employee', id, async sql => (await sql`select n from "notes; drop" order by n`).map(({ n }) => n as number))

  // Each awkward piece once: every restore makes all of these tables.
  const names = awkwardNames(18)
  const made = await admin('POST', '/api/tenants', {
    id: 'acme',
    name: 'Acme "Corp"',
    domain: 'acme.example',
    settings: { plan: 'large' },
    admin: { email: 'ada@acme.example', password },
  })
  t.equal(made.status, 201)
  await inside('employee', 'acme', async sql => {
    for (const name of names) {
      await sql.unsafe(
        `create table ${identifier(name)} (${identifier(`id${name}`)} serial primary key, v text collate "C")`,
      )
      await sql.unsafe(`insert into ${identifier(name)} (v) values ('a'), (null), (''), ('q"u''o\\te')`)
    }
    await sql.unsafe(`
      create table "notes; drop" (n int primary key, api_key text);
      insert into "notes; drop" values (1, 'geheim'), (2, 'geheim');
      create table worded (a varchar(9) check (a in ('x', 'y')), b int, c numeric(9, 2) default 1.5 check ((b, c) is distinct from (1, 2)));
      create function touched() returns trigger language plpgsql as $$ begin return new; end $$;
      create trigger touched before update on worded for each row
        when ((old.a, old.b, old.c) is distinct from (new.a, new.b, new.c)) execute function touched();
      create view wording as select a from worded where a in ('x', 'y') and (a, b) is distinct from ('x', 1);
      create index on worded (lower(a)) where a in ('x', 'z');
      create table kinds (a json, b bytea, c numeric, d float8, e timestamptz, f text[], g char(4));
      insert into kinds values (E'{"x":\\n 1}', '\\x00ff', 12345678901234567890.5, 'NaN', '2026-01-02 03:04:05+02', '{a,"b,c"}', 'ab')`)
  })
  t.equal(await logsIn('acme'), 200)
  await admin('POST', '/api/tenants', { id: 'globex', name: 'Globex' })
  const before = await contents('acme')
  const archive = join(folder, 'acme.tar')

  await t.test('backup writes one archive, for its owner alone, and records the operator', async t => {
    await inside('core', 'acme', sql => sql`select lo_from_bytea(4711, 'large')`)
    await refused(/has 1 large objects.*bytea/, 1, 'backup', 'acme', '--to', archive)
    await inside('core', 'acme', sql => sql`select lo_unlink(4711)`)
    const done = await json('backup', 'acme', '--to', archive, '--verify')
    t.match(done, { tenant: 'acme', services: [{ service: 'identity' }, { service: 'employee' }, { service: 'core' }] })
    t.equal(statSync(archive).mode & 0o777, 0o600)
    const manifest = JSON.parse(execFileSync('tar', ['-xOf', archive, 'manifest.json'], { encoding: 'utf8' }))
    t.match(manifest.tenant, { id: 'acme', domain: 'acme.example', settings: { plan: 'large' }, lifecycle: 'active' })
    await refused(/there already/, 1, 'backup', 'acme', '--to', archive)
    await refused(/knows no tenant/, 1, 'backup', 'unknown', '--to', join(folder, 'none.tar'))
    const [row] = await look('core')`
      select actor, result, detail->>'sha256' as sha256 from audit_log
      where tenant_id = 'acme' and detail->>'command' = 'backup' and result = 'ok'`
    t.match(row, { actor: /@/, sha256: done.sha256 })
  })

  await t.test('an archive that does not fit is refused, and nothing is changed', async t => {
    await refused(
      /acme is active and has data in identity, employee, core: pass --replace/,
      1,
      'restore',
      archive,
      '--yes',
    )
    await refused(/suspend acme/, 1, 'restore', archive, '--replace', '--yes')
    await refused(/is of acme, not of globex/, 2, 'restore', archive, '--tenant', 'globex', '--yes')
    await refused(/globex is taken/, 1, 'restore', archive, '--as', 'globex', '--yes')
    await refused(/leave --central out/, 2, 'restore', archive, '--central', '--yes')
    await refused(/needs a yes/, 2, 'restore', archive, '--as', 'other')
    const changed = join(folder, 'changed.tar')
    const bytes = readFileSync(archive)
    const parts = execFileSync('tar', ['-tf', archive], { encoding: 'utf8' }).trim().split('\n')
    t.same(parts, ['identity.dump', 'employee.dump', 'core.dump', 'manifest.json', 'SHA256SUMS'])
    let at = 0
    for (const part of parts) {
      const size = Number.parseInt(bytes.subarray(at + 124, at + 135).toString(), 8)
      const copy = Buffer.from(bytes)
      copy[at + 512 + Math.floor(size / 2)] = (copy[at + 512 + Math.floor(size / 2)] as number) ^ 1
      writeFileSync(changed, copy)
      const { code, err } = await command(['restore', changed, '--as', 'other', '--yes'])
      t.equal(code, 1, part)
      t.match(err, /cannot be restored/, part)
      at += 512 + Math.ceil(size / 512) * 512
    }
    t.same(await contents('acme'), before)
    t.equal((await admin('GET', '/api/tenants/other?lifecycle=deleted')).status, 404)
    t.same(await databases('%other%'), [])
  })

  await t.test('a full disk leaves no archive behind', async t => {
    const place = join(folder, 'full')
    mkdirSync(place)
    // A file may have so many blocks of 512 bytes: the write fails as on a full disk.
    const full = await command(['backup', 'acme', '--to', join(place, 'acme.tar')], { shell: 'ulimit -f 40' })
    t.equal(full.code, 1, full.out)
    t.match(full.err, /EFBIG|File too large|large/i)
    t.same(readdirSync(place), [])
  })

  await t.test('the next backup removes the files of a killed one', async t => {
    const place = join(folder, 'killed')
    mkdirSync(place)
    const to = join(place, 'acme.tar')
    for (const step of ['dumping:2', 'dumped:3']) {
      const killed = await command(['backup', 'acme', '--to', to], {
        env: { FAULT: `transfer.${step}` },
        preload: ['--import', crash],
      })
      t.equal(killed.code, 'SIGKILL', killed.err)
      t.notOk(existsSync(to))
    }
    // The second may have ended the first one's run already.
    const [newest] = await look('identity')`select id from backup_runs order by started_at desc limit 1`
    const killed = await until('the second is interrupted', async () => {
      const found = await interruptedRuns(look('identity') as never)
      return found.some(({ id }) => id === newest?.id) ? found : undefined
    })
    t.same(new Set(killed.map(({ kind }) => kind)), new Set(['backup']))
    await json('backup', 'acme', '--to', to)
    t.same(readdirSync(place), ['acme.tar'])
    t.same(await interruptedRuns(look('identity') as never), [], 'it has taken their place')
    const states = await look('identity')`
      select distinct state from backup_runs where id = any(${killed.map(({ id }) => id)}::text[])`
    t.same([...states], [{ state: 'stopped' }])
  })

  await t.test('a deleted tenant is restored while its databases are kept', async t => {
    await inside('employee', 'acme', sql => sql`delete from "notes; drop"`)
    const { version } = await json('show', 'acme')
    await json('remove', 'acme', '--yes')
    t.match(await json('restore', archive, '--dry-run'), { case: 'deleted', dryRun: true })
    t.match(await json('restore', archive, '--yes'), { tenant: 'acme', case: 'deleted' })
    t.same(await contents('acme'), before)
    t.match(await json('show', 'acme'), { lifecycle: 'active', domain: 'acme.example', version: version + 2 })
    await until('ready by every service', async () => (await tenantOf('acme')).status === 'ready')
    t.equal(await logsIn('acme'), 200)
    t.same([...(await databases('copy_%')), ...(await databases('past_%'))], [])
    t.equal((await command(['doctor'])).code, 0)
    const [row] = await look('employee')`
      select detail from audit_log where tenant_id = 'acme' and detail->>'command' = 'restore' and result = 'ok'`
    t.match(row?.detail, { archive: 'acme.tar', from: 'acme' })
  })

  const purged = async (): Promise<void> => {
    await json('remove', 'acme', '--yes')
    await look('identity')`update tenants set purge_after = now() - interval '1 day' where id = 'acme'`
    for (const service of serviceNames) {
      await until('the deletion is received', async () => {
        const [row] = await look(service)`select lifecycle from tenants where id = 'acme'`
        return row?.lifecycle === 'deleted'
      })
    }
    await json('purge', 'acme', '--yes')
    t.same(await databases('tenant_acme_%'), [])
  }

  await t.test(
    'is killed at every step: the tenant is unchanged or restored, and the next run completes it',
    async t => {
      await purged()
      await until('every removal is published', async () => {
        return (await tenantOf('acme')).status === 'removed'
      })
      const bare = await admin('POST', '/api/tenants/acme/restore', {})
      t.match(await bare.json(), { statusCode: 409, code: 'TENANT_PURGED' })
      for (const step of ['building', 'built:2', 'pending', 'swapped', 'swapped:3']) {
        const killed = await command(['restore', archive, '--yes'], {
          env: { FAULT: `transfer.${step}` },
          preload: ['--import', crash],
        })
        t.equal(killed.code, 'SIGKILL', `${step}: ${killed.err}`)
        t.equal((await tenantOf('acme')).lifecycle, 'deleted', step)
        t.equal(await logsIn('acme'), 404, step)
      }
      const last = await command(['restore', archive, '--yes'], {
        env: { FAULT: 'transfer.committed' },
        preload: ['--import', crash],
      })
      t.equal(last.code, 'SIGKILL', last.err)
      await until('the services continue by themselves', async () => (await tenantOf('acme')).status === 'ready')
      await until('signing in', async () => (await logsIn('acme')) === 200)
      t.same(await contents('acme'), before)
      await refused(/pass --replace/, 1, 'restore', archive, '--yes')
      t.same([...(await databases('copy_%')), ...(await databases('past_%'))], [])
    },
  )

  await t.test('killed while the old databases are kept, the next run puts them back', async t => {
    await inside('employee', 'acme', sql => sql`insert into "notes; drop" values (77, 'later')`)
    await json('remove', 'acme', '--yes')
    for (const step of ['swapped', 'swapped:3']) {
      const killed = await command(['restore', archive, '--yes'], {
        env: { FAULT: `transfer.${step}` },
        preload: ['--import', crash],
      })
      t.equal(killed.code, 'SIGKILL', killed.err)
    }
    t.ok((await databases('past_%')).length > 0)
    const programs = mkdtempSync(join(folder, 'programs-'))
    writeFileSync(join(programs, 'pg_dump'), '#!/bin/sh\nexec pg_dump "$@"\n')
    writeFileSync(
      join(programs, 'pg_restore'),
      '#!/bin/sh\ncase "$PGDATABASE" in copy_core_*) head -c 300 | pg_restore "$@";; *) exec pg_restore "$@";; esac\n',
    )
    for (const name of ['pg_dump', 'pg_restore']) chmodSync(join(programs, name), 0o755)
    await refused(/pg_restore failed/, 1, 'restore', archive, '--yes', '--programs', programs)
    t.same([...(await databases('copy_%')), ...(await databases('past_%'))], [], 'nothing is left beside it')
    const still = await inside('employee', 'acme', sql => sql`select 1 from "notes; drop" where n = 77`)
    t.equal(still.length, 1, 'the deleted tenant has its rows')
    // Its databases are kept, so a deletion is undone without an archive too.
    t.equal((await admin('POST', '/api/tenants/acme/restore', { lifecycle: 'suspended' })).status, 200)
    t.match(await json('show', 'acme'), { lifecycle: 'suspended' })
    await json('restore', archive, '--replace', '--yes')
    t.same(await notes('acme'), [1, 2], 'replaced')
    await json('activate', 'acme')
    await until('signing in', async () => (await logsIn('acme')) === 200)
  })

  await t.test(
    'killed at its end, the databases it kept are named, and dropped by doctor --fix or by the same command',
    async t => {
      await json('remove', 'acme', '--yes')
      const killed = await command(['restore', archive, '--yes'], {
        env: { FAULT: 'transfer.committed' },
        preload: ['--import', crash],
      })
      t.equal(killed.code, 'SIGKILL', killed.err)
      for (const service of serviceNames) {
        await until(`${service} continues by itself`, async () => {
          const [row] = await look(service)`select provisioned, lifecycle from tenants where id = 'acme'`
          return row?.provisioned === 'ready' && row.lifecycle === 'active'
        })
      }
      t.same([...(await databases('past_%'))].sort(), ['past_core_acme', 'past_employee_acme', 'past_identity_acme'])

      await look('core')`update tenants set provisioned = 'pending', next_attempt_at = null where id = 'acme'`
      const unsure = await command(['doctor', '--service', 'core', '--fix'])
      t.match(unsure.out, /left by a restore +past_core_acme +if none is running: run it again/)
      t.ok((await databases('past_%')).includes('past_core_acme'), 'without the proof nothing is dropped')
      await look('core')`update tenants set provisioned = 'ready' where id = 'acme'`

      const named = await command(['doctor', '--service', 'core'])
      t.equal(named.code, 3)
      t.match(named.out, /left by a restore +past_core_acme +the run that made it is over: doctor --fix/)
      const fixed = await command(['doctor', '--service', 'core', '--fix'])
      t.equal(fixed.code, 0, fixed.out + fixed.err)
      t.match(fixed.out, /past_core_acme +repaired/)
      t.same([...(await databases('past_%'))].sort(), ['past_employee_acme', 'past_identity_acme'])

      const again = await command(['restore', archive, '--yes'])
      t.equal(again.code, 0, again.out + again.err)
      t.match(again.out, /was killed: its leftovers \(past_\w+, past_\w+\) are removed now/)
      t.match(again.out, /acme is restored: the run that was killed had come so far/)
      t.same(await databases('past_%'), [])
      t.same(await contents('acme'), before)
      await refused(/pass --replace/, 1, 'restore', archive, '--yes')
    },
  )

  await t.test('as a new tenant beside the old one', async t => {
    const killed = await command(['restore', archive, '--as', 'acme2', '--yes'], {
      env: { FAULT: 'transfer.swapped:2' },
      preload: ['--import', crash],
    })
    t.equal(killed.code, 'SIGKILL', killed.err)
    await json('restore', archive, '--as', 'acme2', '--name', 'Acme Two', '--yes')
    t.same(await contents('acme2'), before)
    t.match(await json('show', 'acme2'), { name: 'Acme Two', domain: null, lifecycle: 'active' })
    await until('signing in', async () => (await logsIn('acme2')) === 200)
    await inside('employee', 'acme2', sql => sql`insert into "notes; drop" values (3, 'x')`)
    t.same(await notes('acme'), [1, 2], 'the old one has its own')
    await refused(/never used again/, 1, 'restore', archive, '--as', 'acme2', '--yes')
  })

  await t.test('a missing database is restored for a live tenant', async t => {
    const { superuser } = {
      superuser: stack.servers?.postgres.core as NonNullable<typeof stack.servers>['postgres']['core'],
    }
    const sql = postgres({ ...superuser, database: 'postgres', max: 1, onnotice() {} })
    await sql`drop database tenant_acme_core with (force)`
    await sql.end()
    t.match(await json('--service', 'core', 'restore', archive, '--yes'), { case: 'missing' })
    t.same(await contents('acme'), before)
    t.equal((await command(['doctor'])).code, 0)
  })

  await t.test('export writes every row in open formats, and no secret', async t => {
    const out = join(folder, 'out')
    const manifest = await json('export', 'acme', '--to', out)
    t.same(JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')).services, manifest.services)
    const tables = manifest.services.flatMap((one: { service: string; tables: object[] }) =>
      one.tables.map(table => ({ service: one.service, ...table })),
    )
    t.ok(tables.length > names.length + 3)
    for (const { service, table, name, rows, sha256, columns } of tables) {
      const text = readFileSync(join(out, name))
      t.equal(createHash('sha256').update(text).digest('hex'), sha256, name)
      const lines = text
        .toString()
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line))
      t.equal(lines.length, rows, name)
      const [count] = await inside(service, 'acme', sql => sql.unsafe(`select count(*)::int as rows from ${table}`))
      t.equal(count?.rows, rows, table)
      for (const line of lines)
        t.same(
          Object.keys(line),
          columns.map((one: { name: string }) => one.name),
        )
    }
    const of = (table: string) => tables.find((one: { table: string }) => one.table === table)
    t.match(of('public.credentials'), { leftOut: ['password_hash'] })
    t.match(of('public."notes; drop"'), { leftOut: ['api_key'], rows: 2 })
    t.notMatch(
      execFileSync(
        'cat',
        tables.map(({ name }: { name: string }) => join(out, name)),
      ).toString(),
      /geheim|scrypt/,
    )
    t.match(readFileSync(join(out, 'employee/schema.sql'), 'utf8'), /CREATE TABLE public\.employees/)
    t.equal(statSync(out).mode & 0o777, 0o700)

    const csv = join(folder, 'acme-csv.tar')
    const left = 'employee.public.kinds.g'
    const second = await json(
      'export',
      'acme',
      '--to',
      csv,
      '--format',
      'csv',
      '--leave-out',
      left,
      '--keep',
      'employee.public."notes; drop".api_key',
    )
    const unpacked = mkdtempSync(join(folder, 'csv-'))
    execFileSync('tar', ['-xf', csv, '-C', unpacked])
    const mine = second.services.find((one: { service: string }) => one.service === 'employee')
    const { host, port, user, password: secret } = employee.database
    for (const { table, name, columns, rows, leftOut } of mine.tables) {
      const list = columns.map((one: { name: string }) => identifier(one.name)).join(', ')
      const script = `create temp table back as select ${list} from ${table} limit 0;
\\copy back from '${join(unpacked, name)}' csv header
select (select count(*) from back) || ' ' || (select count(*) from (select row(b.*)::text from back b except all select row(t.*)::text from (select ${list} from ${table}) t) as more);`
      const output = execFileSync('psql', ['-qtAX', '-v', 'ON_ERROR_STOP=1'], {
        input: script,
        encoding: 'utf8',
        env: {
          PATH: process.env.PATH,
          PGHOST: host,
          PGPORT: String(port),
          PGUSER: user,
          PGPASSWORD: secret,
          PGDATABASE: 'tenant_acme_employee',
        },
      })
      t.equal(output.trim(), `${rows} 0`, table)
      t.same(leftOut, table === 'public.kinds' ? ['g'] : [])
    }
    await refused(
      /no column employee\.x/,
      1,
      'export',
      'acme',
      '--to',
      join(folder, 'bad'),
      '--leave-out',
      'employee.x',
    )
    t.notOk(existsSync(join(folder, 'bad')))
  })

  await t.test('every run is in an audit log that verifies, a killed one too', async t => {
    t.equal((await command(['audit', 'verify'])).code, 0)
    const rows = await look('identity')`
      select detail->>'command' as command, result, count(*)::int from audit_log
      where kind = 'admin' and detail->>'command' is not null group by 1, 2 order by 1, 2`
    const counted = Object.fromEntries(rows.map(row => [`${row.command} ${row.result}`, row.count]))
    t.ok(counted['restore begun'] > counted['restore ok'], 'a killed one has begun')
    t.match(counted, { 'export ok': 2, 'export TRANSFER_REFUSED': 1 })
  })

  await t.test('all of it, and a central database into a new server', async t => {
    const all = join(folder, 'all')
    const { archives } = await json('backup', '--all', '--to', all)
    t.match(
      archives.map((one: { error: unknown }) => one.error),
      [null, null, null, null],
    )
    t.same(readdirSync(all).sort(), ['acme.tar', 'acme2.tar', 'central.tar', 'globex.tar'])
    await refused(/not empty/, 2, 'backup', '--all', '--to', all)
    const runs = await look('identity')`
      select target, state, ended_at is not null as ended, (
        select array_agg(coalesce(tenant_id, '') || ' ' || state || ' ' || (bytes > 0) order by tenant_id nulls last)
        from backup_archives where run_id = id) as archives
      from backup_runs where target = ${all}`
    t.same(
      [...runs],
      [
        {
          target: all,
          state: 'done',
          ended: true,
          archives: ['acme done true', 'acme2 done true', 'globex done true', ' done true'],
        },
      ],
      'the journal that the console reads',
    )
    await refused(
      /is not empty, and nothing in it is replaced/,
      1,
      'restore',
      join(all, 'central.tar'),
      '--central',
      '--yes',
    )

    const servers = await startServers<string>({ services: ['identity'] })
    t.teardown(() => servers.stop())
    const {
      host,
      port,
      user,
      password: secret,
    } = servers.postgres.identity as NonNullable<(typeof servers.postgres)[string]>
    const database = { host, port, user: 'identity_service', password, name: 'identity_central' }
    await bootstrap({
      service: parseServiceName('identity'),
      database: {
        host,
        port,
        user: database.user,
        password,
        database: database.name,
        ssl: 'prefer',
        sslRootCert: undefined,
      },
      superuser: { user, password: secret },
      onStep: () => {},
    })
    const config = join(folder, 'new.json')
    writeFileSync(config, JSON.stringify({ services: { identity: { database } } }))
    const args = ['--config', config, '--json', 'restore', join(all, 'central.tar'), '--central', '--yes']
    const done = await command(args)
    t.equal(done.code, 0, done.err)
    t.match(JSON.parse(done.out), { central: ['identity'] })
    const sql = postgres({ host, port, user: database.user, password, database: database.name, max: 1, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    t.match(await sql`select id from tenants order by id`, [{ id: 'acme' }, { id: 'acme2' }, { id: 'globex' }])
    t.same(await sql`select kid from signing_keys`, await look('identity')`select kid from signing_keys`)
    t.equal(
      (await sql`select 1 from audit_log where detail->>'command' = 'restore' and result = 'ok' and tenant_id is null`)
        .length,
      1,
    )
    t.equal((await command(args)).code, 1, 'a second time it is not empty')
  })
})
