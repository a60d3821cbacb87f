// In a process of its own: it sets a variable of the environment.
import type { FastifyInstance } from 'fastify'
import postgres from 'postgres'
import t from 'tap'
import { fixture, notes, rig } from '../../../rig.js'

t.test('provisioning a tenant', async t => {
  const { app: build, look, database, servers } = await rig(t, ['employee'])
  const app = await build('employee')
  const server = look('employee')
  const databases = async (pattern: string) =>
    (await server`select datname from pg_database where datname like ${pattern}`).map(row => row.datname)

  await t.test('makes exactly tenant_<id>_<service>, closed to PUBLIC, with its mark and certificate', async t => {
    const row = await app.tenants.create({ id: 'acme', name: 'Acme' })
    t.match(row, { provisioned: 'ready', schemaVersion: 1, lastError: null })
    t.same(await databases('tenant\\_acme%'), ['tenant_acme_employee'])
    const [facts] = await server`
      select datacl::text as rights, pg_get_userbyid(datdba) as owner, shobj_description(oid, 'pg_database') as comment
      from pg_database where datname = 'tenant_acme_employee'`
    t.equal(facts?.owner, 'employee_service')
    t.notMatch(facts?.rights, /[{,]=/, 'no entry for PUBLIC')
    const [inside] = await look('employee', 'tenant_acme_employee')`
      select certificate from distributed_tenant.certificate`
    t.same(JSON.parse(facts?.comment.replace(/^\S+ /, '')), {
      tenant: 'acme',
      service: 'employee',
      certificate: inside?.certificate,
    })
  })

  await t.test('a second time changes nothing', async t => {
    const before = await app.tenants.find('acme')
    const again = await app.tenants.create({ id: 'acme', name: 'Another name' })
    t.same(again, before)
  })

  await t.test('by eight callers in two replicas is one database and no error', async t => {
    const replica = await build('employee')
    const calls = Array.from({ length: 8 }, (_, n) =>
      (n % 2 ? app : replica).tenants.create({ id: 'crowd', name: 'Crowd' }),
    )
    const rows = await Promise.all(calls)
    t.equal(new Set(rows.map(row => row.certificate)).size, 1)
    t.equal((await databases('tenant\\_crowd%')).length, 1)
  })

  await t.test('stops at a foreign database of that name, and leaves it unchanged', async t => {
    await server`create database tenant_foreign_employee`
    const inside = look('employee', 'tenant_foreign_employee')
    await inside`create table precious (x int)`
    await t.rejects(app.tenants.create({ id: 'foreign', name: 'Foreign' }), { code: 'TENANT_DATABASE_FOREIGN' })
    t.match(await app.tenants.find('foreign'), { provisioned: 'foreign', step: 'database' })
    const tables = await inside`select relname from pg_class where relnamespace = 'public'::regnamespace`
    t.same(
      tables.map(row => row.relname),
      ['precious'],
    )
    const [after] = await server`
      select datacl is null as untouched, shobj_description(oid, 'pg_database') as comment
      from pg_database where datname = 'tenant_foreign_employee'`
    t.match(after, { untouched: true, comment: null })
  })

  await t.test('stops at a database that the service owns but that was not made from its template', async t => {
    await server`create database tenant_byhand_employee owner employee_service`
    await t.rejects(app.tenants.create({ id: 'byhand', name: 'By hand' }), { code: 'TENANT_DATABASE_FOREIGN' })
    t.match(await app.tenants.find('byhand'), { provisioned: 'foreign', step: 'certificate' })
    const [after] =
      await server`select datacl is null as untouched from pg_database where datname = 'tenant_byhand_employee'`
    t.equal(after?.untouched, true)
  })

  await t.test('stops at a database that carries another tenant’s mark', async t => {
    await server`alter database tenant_crowd_employee rename to tenant_thief_employee`
    t.teardown(() => server`alter database tenant_thief_employee rename to tenant_crowd_employee`)
    await t.rejects(app.tenants.create({ id: 'thief', name: 'Thief' }), { code: 'TENANT_DATABASE_FOREIGN' })
  })

  await t.test('drops a database that an interrupted DROP left and creates it again', async t => {
    await server`create database tenant_torn_employee owner employee_service`
    await server`update pg_database set datconnlimit = -2 where datname = 'tenant_torn_employee'`
    t.match(await app.tenants.create({ id: 'torn', name: 'Torn' }), { provisioned: 'ready' })
    const [row] = await server`select datconnlimit from pg_database where datname = 'tenant_torn_employee'`
    t.equal(row?.datconnlimit, -1)
  })

  await t.test('adopts a clone that was interrupted before its certificate', async t => {
    await server`create database tenant_half_employee owner employee_service template template_employee_1`
    t.match(await app.tenants.create({ id: 'half', name: 'Half' }), { provisioned: 'ready' })
  })

  await t.test('finishes a clone that was interrupted before it took connections', async t => {
    await server`
      create database tenant_shut_employee owner employee_service template template_employee_1 allow_connections false`
    const [before] = await server`select oid from pg_database where datname = 'tenant_shut_employee'`
    t.match(await app.tenants.create({ id: 'shut', name: 'Shut' }), { provisioned: 'ready' })
    const [after] = await server`
      select oid, datallowconn as open, has_database_privilege('public', oid, 'connect') as public
      from pg_database where datname = 'tenant_shut_employee'`
    t.match(after, { oid: before?.oid, open: true, public: false })
  })

  await t.test('creates a clone again that PUBLIC could enter before its certificate, even in use', async t => {
    await server`create database tenant_entered_employee owner employee_service template template_employee_1`
    await server.unsafe(`create role another_tenant login password 'another' in role employee_tenant`)
    const { host, port } = database('employee')
    const login = { host, port, user: 'another_tenant', password: 'another', database: 'tenant_entered_employee' }
    const intruder = postgres({ ...login, max: 1, onnotice() {} })
    t.teardown(() => intruder.end({ timeout: 1 }))
    await intruder`insert into notes (body) values ('planted')`
    const row = await app.tenants.create({ id: 'entered', name: 'Entered' })
    t.match(row, { provisioned: 'ready' })
    const found = await app.tenants.run('entered', ({ sql }) => sql`select body from notes`)
    t.same([...found], [])
  })

  await t.test('adopts a clone that was interrupted before its mark', async t => {
    await server`create database tenant_nomark_employee owner employee_service template template_employee_1`
    await look('employee', 'tenant_nomark_employee')`
      insert into distributed_tenant.certificate (certificate) values ('from before the crash')`
    t.match(await app.tenants.create({ id: 'nomark', name: 'No mark' }), {
      provisioned: 'ready',
      certificate: 'from before the crash',
    })
  })

  await t.test(
    'accepts one that this release restored by its mark alone, and inspects one of another release',
    async t => {
      const [template] = await server`
      select shobj_description(oid, 'pg_database') as comment from pg_database where datname = 'template_employee_1'`
      const built = template?.comment.replace(/^\S+ /, '')
      const bring = async (id: string, more: object) => {
        const name = `tenant_${id}_employee`
        await server.unsafe(`create database ${name} owner employee_service template template_employee_1`)
        const inside = look('employee', name)
        await inside`insert into distributed_tenant.certificate (certificate) values ('inside')`
        const mark = JSON.stringify({ tenant: id, service: 'employee', certificate: 'in the mark', ...more })
        await server.unsafe(`comment on database ${name} is 'distributed-tenant:v1 ${mark}'`)
        return { name, inside }
      }
      const ours = await bring('brought', { built })
      await ours.inside.end()
      await server.unsafe(`alter database ${ours.name} allow_connections false`)
      t.match(await app.tenants.create({ id: 'brought', name: 'Brought' }), {
        provisioned: 'ready',
        schemaVersion: 1,
        certificate: 'in the mark',
      })
      const [taken] = await server`
      select shobj_description(oid, 'pg_database') as comment, datacl::text as rights from pg_database where datname = ${ours.name}`
      t.notMatch(taken?.comment, /built/, 'recorded once: later migrations would make it untrue')
      t.notMatch(taken?.rights, /[{,]=/, 'no entry for PUBLIC')
      await server.unsafe(`alter database ${ours.name} allow_connections true`)

      await bring('older', { built: `of-another ${built}` })
      t.match(await app.tenants.create({ id: 'older', name: 'Older' }), { provisioned: 'ready', certificate: 'inside' })
    },
  )

  await t.test('waits while another session holds the template, and then succeeds', async t => {
    await server`alter database template_employee_1 allow_connections true`
    const holder = look('employee', 'template_employee_1')
    await holder`select 1`
    const made = app.tenants.create({ id: 'patient', name: 'Patient' })
    await holder.end()
    await server`alter database template_employee_1 allow_connections false`
    t.match(await made, { provisioned: 'ready' })
  })

  await t.test('writes ready and its status event in one transaction', async t => {
    const [row] = await look('employee', 'employee_central')`
      select subject, payload from outbox where tenant_id = 'acme'`
    t.match(row, {
      subject: 'tenant.ready.employee',
      payload: { id: 'acme', service: 'employee', status: 'ready', schemaVersion: 1 },
    })
    t.same(
      row?.payload.steps.map((step: { step: string }) => step.step),
      ['claim', 'database', 'certificate', 'rights', 'schema', 'ready'],
    )
  })

  await t.test('refuses bad and reserved ids before anything is made', async t => {
    const before = await databases('%')
    for (const id of ['', 'Acme', 'a_b', 'a--b', '-a', 'a'.repeat(41), "a'; drop database x", 'é']) {
      await t.rejects(app.tenants.create({ id, name: 'x' }), { code: 'TENANT_ID_INVALID', statusCode: 400 })
    }
    await t.rejects(app.tenants.create({ id: 'postgres', name: 'x' }), { code: 'TENANT_ID_RESERVED', statusCode: 422 })
    t.same(await databases('%'), before)
  })

  await t.test('a template never accepts connections, and a half-built one is built again', async t => {
    const inside = look('employee', 'template_employee_1')
    await t.rejects(inside`select 1`, { code: '55000' })
    await server`comment on database template_employee_1 is 'half-built'`
    const fresh = await build('employee')
    t.match(await fresh.tenants.create({ id: 'rebuilt', name: 'Rebuilt' }), { provisioned: 'ready' })
    const [row] = await server`
      select datistemplate, datallowconn from pg_database where datname = 'template_employee_1'`
    t.match(row, { datistemplate: true, datallowconn: false })
  })

  await t.test('a broken migration stops the start by name', async t => {
    await t.rejects(build('employee', { migrations: { tenant: fixture('broken') } }), {
      code: 'MIGRATION_FAILED',
      message: /tenant migration 2 \(broken\).*no_such_table/,
    })
  })

  await t.test('a new release migrates a tenant of the old one when it is provisioned again', async t => {
    const newer: FastifyInstance = await build('employee', { migrations: { tenant: fixture('notes2') } })
    const row = await newer.tenants.create({ id: 'acme', name: 'Acme' })
    t.equal(row.schemaVersion, 2)
    const columns = await look('employee', 'tenant_acme_employee')`
      select column_name from information_schema.columns where table_name = 'notes' and column_name = 'pinned'`
    t.equal(columns.length, 1)
  })

  await t.test('a central database of another service is refused', async t => {
    await t.rejects(build('core', { database: database('employee') }), {
      code: 'CONFIGURATION_INVALID',
      message: /wrong database.*belongs to employee, this is core/,
    })
  })

  await t.test(
    'a central database that refuses the login is an error with user, address and cure, without the password',
    async t => {
      const wrong = { ...database('employee'), password: 'canary-password' }
      const error = await build('employee', { database: wrong, migrations: { tenant: notes } }).catch(e => e)
      t.match(
        error.message,
        /employee_central at 127\.0\.0\.1:\d+ cannot be used as employee_service.*distributed-tenant init/,
      )
      t.notMatch(error.message, /canary/)
    },
  )

  await t.test('in a container the start waits for a missing central database', async t => {
    t.teardown(() => delete process.env.DOCKER_ENABLED)
    const server = servers.postgres.employee
    await server?.kill()
    process.env.DOCKER_ENABLED = 'false'
    await t.rejects(build('employee'), { code: 'CONFIGURATION_INVALID', message: /ECONNREFUSED|cannot be used/ })
    process.env.DOCKER_ENABLED = 'true'
    const building = build('employee')
    await server?.restart()
    await t.resolves(building)
  })
})
