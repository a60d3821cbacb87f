import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { withOperations } from '../../../operations/parts.js'
import { settle } from '../../../plugins/distributed-tenant/config/settings.js'
import { subscribe } from '../../../plugins/distributed-tenant/index.js'
import { createTenancy } from '../../../plugins/distributed-tenant/tenancy.js'
import { notes, rig } from '../../rig.js'

t.test('the check that everything is at this release', async t => {
  const { database, look, tenancy } = await rig(t, ['employee'])
  const folder = mkdtempSync(join(tmpdir(), 'up-to-date-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const open = (migrations: { tenant: string; central?: string }) => {
    const made = withOperations(
      createTenancy(
        settle({ service: 'employee', database: database('employee'), migrations, nats: null, redis: null }),
      ),
    )
    t.teardown(() => made.close())
    return made
  }
  const release = (name: string, file: string): string => {
    const path = join(folder, name)
    mkdirSync(path)
    if (name === 'tenant') cpSync(notes, path, { recursive: true })
    writeFileSync(join(path, file), 'create table more (id integer);')
    return path
  }
  const here = open({ tenant: notes })
  t.equal(await here.isUpToDate(), false, 'a database that was never migrated is not')
  await tenancy('employee')

  const statements: string[] = []
  const silence = subscribe(
    step => {
      if (step.area === 'query' && step.event.type === 'sent') statements.push(step.event.operation)
    },
    here.origin,
    ['query'],
  )
  t.equal(await here.isUpToDate(), true)
  silence()
  t.equal(statements.length, 1, 'which is one query')

  t.equal(await open({ tenant: release('tenant', '002.do.more.sql') }).isUpToDate(), false, 'a newer template')
  const central = release('central', '001.do.more.sql')
  t.equal(await open({ tenant: notes, central }).isUpToDate(), false, 'a new central migration')
  const sql = look('employee', 'employee_central')
  await sql`insert into tenants (id, name, provisioned, schema_version) values ('acme', 'Acme', 'ready', 0)`
  t.equal(await here.isUpToDate(), false, 'a tenant that is behind')
  await sql`update tenants set schema_version = 1`
  t.equal(await here.isUpToDate(), true)
  await sql`alter database template_employee_1 is_template false`
  t.equal(await here.isUpToDate(), false, 'a template that is none')
})
