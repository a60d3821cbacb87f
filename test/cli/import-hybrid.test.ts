// The command that moves tenants out of one shared server: its plan and refusals, a tenant with awkward names and
// the product's own tables, resume and rollback by its options, and programs that are missing, old or broken.
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createInstance } from '../../operations/copying/external-instance.js'
import { rollBackImport } from '../../operations/import/import.js'
import { serviceNames } from '../../stack/names.js'
import { freePort } from '../../stack/servers/ports.js'
import { awkwardNames, identifier } from './import-source.js'
import { importStand } from './import-stand.js'

const migration = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../services/${file}`, import.meta.url)), 'utf8')

t.test('import-hybrid', async t => {
  const stand = await importStand(t)
  const { old, stack, folder, target, exists } = stand
  const central = old.look('postgres')
  const run = (...args: string[]) => stand.command(['import-hybrid', '--from', old.url, '--yes', ...args])
  const seen = ({ obstacles }: { obstacles: readonly { about: string; what: string }[] }): string =>
    obstacles.map(({ about, what }) => `${about} ${what}`).join('\n')

  await t.test('plans, and names every obstacle', async t => {
    await old.database(
      'tenant_Bad_Id_employee',
      `alter database "tenant_Bad_Id_employee" set log_statement = 'all'; alter database "tenant_Bad_Id_employee" set work_mem = '5MB'`,
    )
    const { code, out } = await run('--dry-run')
    t.equal(code, 1)
    t.match(out, /Bad_Id +its id breaks our rule; to import it as bad-id, pass --map Bad_Id=bad-id/)
    const mapped = await stand.plan(['employee'], { map: ['Bad_Id=fine'] })
    t.match(mapped.tenants, [{ oldId: 'Bad_Id', id: 'fine' }])
    t.notOk(mapped.obstacles.some(({ blocks }) => blocks))
    t.match(
      seen(mapped),
      /tenant_Bad_Id_employee .*run `alter database tenant_fine_employee set log_statement = 'all'`/,
    )
    t.notMatch(seen(mapped), /work_mem/)
    await central`drop database "tenant_Bad_Id_employee"`
    t.match(seen(await stand.plan(['core'])), /holds no database/)
    const secret = await stand.command(['import-hybrid', '--from', 'postgres://postgres:geheim@localhost/x'])
    t.equal(secret.code, 2)
    t.notOk(secret.err.includes('geheim'))
    const nowhere = createInstance({ ...stand.source.address, port: 1 })
    await t.rejects(stand.plan(['core'], {}, nowhere), { code: 'TRANSFER_FAILED' })
  })

  await t.test('asks whether there is room', async t => {
    await old.database('tenant_room_core', 'create table facts as select generate_series(1, 1000) n')
    t.match(seen(await stand.plan(['core'])), /core PostgreSQL does not report how much room .* 1\d\.\d MB come/)
    const little = await stand.plan(['core'], { room: ['core=10MB'] })
    t.match(little.obstacles, [
      { about: 'core', blocks: true, what: /has 10.0 MB free \(--room\), and 1\d.\d MB come/ },
    ])
    t.same((await stand.plan(['core'], { room: ['core=1GB'] })).obstacles, [])
    await t.rejects(stand.plan(['core'], { room: ['core=much'] }), /is no size: write it like core=50GB/)
    // Then it measures by itself, as the server is on this machine.
    const { host, port, user, password } = stack.servers?.postgres.core ?? {}
    const superuser = createInstance({ host, port, user, password, database: 'postgres', ssl: 'prefer' } as never)
    await superuser.withDirectConnection(sql => sql`grant pg_read_all_settings to core_service`)
    t.notMatch(seen(await stand.plan(['core'])), /how much room/)
    await superuser.withDirectConnection(sql => sql`revoke pg_read_all_settings from core_service`)
    await central`drop database tenant_room_core`
  })

  await t.test('names the services that do not run before anything is frozen', async t => {
    await old.database('tenant_silent_core')
    const away = join(folder, 'away.json')
    const { core } = stack.info.services
    const services = { ...stack.info.services, core: { ...core, url: `http://127.0.0.1:${await freePort()}` } }
    writeFileSync(away, JSON.stringify({ ...stack.info, services }))
    const refused = await stand.command(['--config', away, 'import-hybrid', '--from', old.url, '--yes'])
    t.equal(refused.code, 1)
    t.match(refused.out, /core +does not answer at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\): start it.* true/)
    t.match(refused.err, /Nothing was changed/)
    t.ok(await old.isOpen('tenant_silent_core'))
    t.same([...(await target('core')`select * from transfers`)], [])
    const run = await stand.begin(['core'], ['silent'])
    const resumed = await stand.command(['--config', away, 'import-hybrid', '--from', old.url, '--resume', run])
    t.equal(resumed.code, 1)
    t.match(resumed.err, /core does not answer at .*Nothing was changed/)
    t.ok(await old.isOpen('tenant_silent_core'))
    await target('core')`delete from transfers`
    await central`drop database tenant_silent_core`
  })

  await t.test('refuses wrong targets before anything', async t => {
    await old.database('tenant_wrong_core')
    const swapped = join(folder, 'swapped.json')
    const { employee, core, ...others } = stack.info.services
    const services = {
      ...others,
      employee: { ...employee, database: core.database },
      core: { ...core, database: employee.database },
    }
    writeFileSync(swapped, JSON.stringify({ ...stack.info, services }))
    const refused = await stand.command(['--config', swapped, 'import-hybrid', '--from', old.url, '--yes'])
    t.equal(refused.code, 1)
    t.match(refused.err, /Connected to the wrong database: .* belongs to core, this is employee/)
    t.ok(await old.isOpen('tenant_wrong_core'))
    t.same([...(await target('core')`select * from transfers`)], [])
    await central`drop database tenant_wrong_core`

    // The instance of a service as its own source, by the superuser.
    const own = stack.servers?.postgres.core as NonNullable<typeof stack.servers>['postgres']['core']
    const itself = createInstance({ ...stand.source.address, port: own.port, password: own.password })
    await itself.withDirectConnection(sql => sql`create database tenant_self_core template template0`)
    const plan = await stand.plan(['core'], {}, itself)
    t.match(plan.obstacles, [{ about: 'core', blocks: true, what: /is core’s own instance/ }])
    const mapped = await stand.plan(['core'], { map: ['self=other'] }, itself)
    t.match(seen(mapped), /is core’s own instance/, 'also by another name')
    await itself.withDirectConnection(sql => sql`drop database tenant_self_core`)
  })

  await t.test('imports a tenant with 300 awkward names, and data of the product’s own tables', async t => {
    const names = awkwardNames(300)
    await old.database('tenant_acme_identity', migration('identity/migrations/tenant/001.do.users.sql'))
    await old.database(
      'tenant_acme_employee',
      migration('employee/migrations/tenant/001.do.employees.sql'),
      'create extension citext',
      names
        .map(
          (name, at) =>
            `create table ${identifier(name)} (${identifier(`id${name}`)} serial primary key, v text collate "C" default 'a''b', n numeric);
             insert into ${identifier(name)} (v, n) select 'row ' || g, g / 7.0 from generate_series(1, ${at % 5}) g;`,
        )
        .join('\n'),
      `create view ${identifier('v"iew')} as select * from ${identifier(names[3] as string)}`,
    )
    await central`insert into tenants values ('acme', 'Acme "Corp"', 'acme.example', true)`
    const brought = await stand.command(['--json', 'import-hybrid', '--from', old.url, '--yes'])
    t.equal(brought.code, 0, brought.err + brought.out)
    t.match(JSON.parse(brought.out).tenants, [{ id: 'acme', state: 'ready', error: null }])
    const inside = target('employee', 'tenant_acme_employee')
    const [counted] = await inside`select count(*)::int as tables from pg_tables where schemaname = 'public'`
    t.equal(counted?.tables, 301, 'employees and the awkward ones')
    t.notOk(existsSync('/tmp/owned'))
    const shown = JSON.parse((await stand.command(['--json', 'show', 'acme'])).out)
    t.match(shown, { name: 'Acme "Corp"', domain: 'acme.example', status: 'ready' })
    t.match(shown.services, { identity: { status: 'ready' }, employee: { status: 'ready' }, core: { status: 'ready' } })
    const users = await target(
      'identity',
      'tenant_acme_identity',
    )`select * from information_schema.columns where table_name = 'users'`
    t.ok(users.length > 5, 'migrated to the newest version')
    t.equal((await stand.command(['doctor'])).code, 0)
    const verified = JSON.parse((await stand.command(['--json', 'verify', 'acme'])).out)
    t.match(
      verified.tenants,
      serviceNames
        .map(service => ({ service, health: 'ready', problem: null }))
        .sort((a, b) => (a.service < b.service ? -1 : 1)),
    )
    await target('core')`alter database tenant_acme_core allow_connections false`
    const damaged = await stand.command(['verify', '--all'])
    t.equal(damaged.code, 3, damaged.out)
    t.match(damaged.err, /1 of 3 are not as they should be/)
    await target('core')`alter database tenant_acme_core allow_connections true`
    t.notOk(await old.isOpen('tenant_acme_employee'), 'stays frozen')
    t.match(seen(await stand.plan(['employee'], { tenant: ['acme'] })), /exists at employee/)
  })

  await t.test('resumes, thaws and rolls back by its options, and not over later writes', async t => {
    await old.database('tenant_back_core', 'create table facts (n int)', 'insert into facts values (1)')
    const id = await stand.begin(serviceNames, ['back'])
    const resumed = await run('--resume', id)
    t.equal(resumed.code, 0, resumed.out + resumed.err)
    t.match((await stand.command(['import-hybrid', '--list'])).out, new RegExp(`core +${id} +.* done`))
    t.equal((await run('--resume', 'none')).code, 1)

    t.notOk(await old.isOpen('tenant_back_core'))
    const thawed = await run('--thaw', id)
    t.equal(thawed.code, 0, thawed.out + thawed.err)
    t.ok(await old.isOpen('tenant_back_core'))
    const there = old.look('tenant_back_core')
    await there`insert into facts values (2)`
    const inside = target('core', 'tenant_back_core')
    t.same([...(await inside`select n from facts`)], [{ n: 1 }], 'rows written there stay there')

    await inside`insert into facts values (3)`
    const [written] = await stand.carryOut(id, serviceNames, rollBackImport)
    t.match(written, { state: 'failed', error: /back has been written to in core/ })
    t.ok(await exists('core', 'tenant_back_core'))
    await inside`delete from facts where n = 3`
    await inside.end()
    const back = await run('--rollback', id)
    t.equal(back.code, 0, back.out + back.err)
    t.notOk(await exists('core', 'tenant_back_core'))
    t.ok(await old.isOpen('tenant_back_core'))
    t.same([...(await there`select n from facts order by n`)], [{ n: 1 }, { n: 2 }])
    t.equal((await run('--resume', id)).code, 2, 'a rolled-back import begins anew')
  })

  await t.test('names the programs that are missing or old, and undoes the begun work of a broken one', async t => {
    await old.database('tenant_odd_core', 'create table facts (n int primary key)')
    const away = await run('--tenant', 'odd', '--programs', '/nowhere')
    t.equal(away.code, 1)
    t.match(away.out, /install PostgreSQL/)
    const programs = mkdtempSync(join(folder, 'programs-'))
    for (const name of ['pg_dump', 'pg_restore']) {
      writeFileSync(join(programs, name), '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n')
      chmodSync(join(programs, name), 0o755)
    }
    t.match(seen(await stand.plan(['core'], { tenant: ['odd'], programs })), /install postgresql-client-\d+/)
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
    t.ok(await old.isOpen('tenant_odd_core'), 'open again')
    t.notOk(await exists('core', 'tenant_odd_core'))
    await target('core')`create database tenant_odd_core`
    t.match(seen(await stand.plan(['core'], { tenant: ['odd'] })), /exists at core/)
    await target('core')`drop database tenant_odd_core`
  })
})
