// The basic promises on a newer server than Debian's: PostgreSQL 17, whose CREATEROLE and memberships differ from
// those of 15. A test that needs programs as new as the server is skipped with that reason where this machine's are
// older. A server that is too old is refused.

import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import t from 'tap'
import type { TransferTenant } from '../operations/copying/journal.js'
import { instanceAt } from '../operations/move/reach-instance.js'
import { createSource } from '../operations/move/source.js'
import { parseMark } from '../plugins/distributed-tenant/databases/marks.js'
import { parseTenantId } from '../plugins/distributed-tenant/names.js'
import { startStack } from '../stack/stack.js'
import { noPostgres, otherPostgres } from './other-postgres.js'
import { codeOf, severalInstances } from './plugins/distributed-tenant/placement/several.js'
import { rig } from './rig.js'
import { until } from './until.js'

const program = fileURLToPath(new URL('../cli/main.js', import.meta.url))

t.test('on PostgreSQL 14, which is too old, a service reports it and does not start', async t => {
  const bin = otherPostgres(t, 14)
  if (bin === null) return void t.pass(noPostgres(14), { skip: true })
  const { PATH = '' } = process.env
  process.env.PATH = `${bin}${delimiter}${PATH}`
  const { tenancy } = await rig(t, ['core']).finally(() => {
    process.env.PATH = PATH
  })
  await t.rejects(tenancy('core'), { code: 'CONFIGURATION_INVALID', message: /is PostgreSQL 14\.\d+.* 15 or later/ })

  const { tenancy: open, instances } = await severalInstances(t, bin)
  await t.rejects(open('employee', { instances }), {
    code: 'CONFIGURATION_INVALID',
    message: /the instance b \(127\.0\.0\.1:\d+\) is PostgreSQL 14\.\d+/,
  })
})

t.test('on PostgreSQL 17', async t => {
  const bin = otherPostgres(t, 17)
  if (bin === null) return void t.pass(noPostgres(17), { skip: true })
  const { PATH = '' } = process.env
  const client = Number(/ (\d+)/.exec(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' }))?.[1])
  // The stack takes the first servers that PATH has.
  process.env.PATH = `${bin}${delimiter}${PATH}`
  t.teardown(() => {
    process.env.PATH = PATH
  })

  await t.test('the services make, serve, migrate and remove tenants', async t => {
    const folder = mkdtempSync(join(tmpdir(), 'on-17-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const stack = await startStack({ folder })
    t.teardown(() => stack.stop())
    const command = (...args: string[]) =>
      new Promise<{ code: number; out: string; err: string }>(resolve => {
        const all = [program, '--config', join(folder, 'stack.json'), ...args]
        execFile(process.execPath, all, { cwd: folder, env: { PATH } }, (error, out, err) => {
          resolve({ code: error ? Number(error.code) : 0, out, err })
        })
      })
    const done = async (...args: string[]) => {
      const { code, out, err } = await command(...args)
      t.equal(code, 0, `${args.join(' ')}: ${out}${err}`)
      return out
    }
    const look = (database: string) => {
      const { host, port, user, password } = stack.servers?.postgres.core ?? {}
      const sql = postgres({ host, port, user, password, database, max: 1, onnotice() {} } as never)
      t.teardown(() => sql.end({ timeout: 1 }))
      return sql
    }
    const [server] = await look('postgres')`show server_version`
    t.match(server?.server_version, /^17\./)

    for (const id of ['acme', 'initech']) await done('create', id, '--id', id, '--wait', '30')
    const ask = async (id: string, method = 'GET', body?: object) => {
      const response = await fetch(new URL('/api/departments', stack.info.services.core.url), {
        method,
        headers: { 'HRMS-Client-ID': id, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      })
      return { status: response.status, body: (await response.json()) as { items?: { name: string }[] } }
    }
    t.equal((await ask('acme', 'POST', { name: 'Engineering', code: 'ENG' })).status, 201)
    t.match((await ask('acme')).body.items, [{ name: 'Engineering' }])
    t.same((await ask('initech')).body.items, [], 'the other tenant has none of it')

    const [marked] = await look('postgres')<{ comment: string }[]>`
      select shobj_description(oid, 'pg_database') as comment from pg_database where datname = 'tenant_acme_core'`
    t.match(parseMark(marked?.comment ?? null), { tenant: 'acme', service: 'core' })
    const [rights] = await look('postgres')`
      select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls as powerful,
        has_database_privilege('tenant_acme_core', 'tenant_acme_core', 'connect') as own,
        has_database_privilege('tenant_initech_core', 'tenant_acme_core', 'connect') as others,
        has_database_privilege('tenant_acme_core', 'tenant_initech_core', 'connect') as anothers
      from pg_roles where rolname = 'tenant_acme_core'`
    t.same({ ...rights }, { powerful: false, own: true, others: false, anothers: false })

    await done('migrate')
    const acme = look('tenant_acme_core')
    await acme`revoke connect on database tenant_acme_core from tenant_acme_core`
    await acme`alter role tenant_acme_core createdb`
    t.equal((await command('doctor')).code, 3)
    await acme`alter role tenant_acme_core nocreatedb`
    await done('doctor', '--fix')
    await done('doctor', '--deep')
    t.match((await ask('acme')).body.items, [{ name: 'Engineering' }])

    if (client < 17) {
      for (const what of ['backup', 'export']) {
        const { code, err } = await command(what, 'acme', '--to', join(folder, `acme-${what}`))
        t.equal(code, 1)
        t.match(err, /install postgresql-client-17/)
      }
      t.same(
        readdirSync(folder).filter(name => name.includes('acme')),
        [],
      )
    }

    await done('suspend', 'acme')
    await until('it is refused', async () => (await ask('acme')).status === 403)
    await done('activate', 'acme')
    await done('remove', 'initech', '--yes')
  })

  await t.test('a service with several instances writes to each, and freezes and opens a tenant', async t => {
    const { app: build, tenancy: open, instances } = await severalInstances(t)
    const app = await build('employee', { instances })
    const { move } = await open('employee', { instances })
    await app.tenants.create({ id: 'acme', name: 'Acme' })
    const write = () =>
      codeOf(app.tenants.run('acme', ({ sql }) => sql`insert into notes (body) values (gen_random_uuid())`))
    t.equal(await write(), null)
    const source = createSource({ ...move, run: 'a-run', from: 'main' })
    const id = parseTenantId('acme')
    await instanceAt(move, 'main').withDirectConnection(held => source.freeze(held, id), 'tenant_acme_employee')
    t.equal(await write(), 'TENANT_MOVING')
    await source.restore({ id, certificate: null } as TransferTenant)
    t.equal(await write(), null)
  })
})
