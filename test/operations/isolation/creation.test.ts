// While databases are created in every possible way, another tenant's role tries to connect to each of them without
// a pause.
// `node dist/test/operations/isolation/creation.test.js 200`: so many creations in total.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openArchive } from '../../../operations/archive/archive-reader.js'
import { backUpTenant } from '../../../operations/archive/backup.js'
import { createServiceRestore } from '../../../operations/archive/restore-service.js'
import { createInstance } from '../../../operations/copying/external-instance.js'
import { createJournal } from '../../../operations/copying/journal.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import { runImport } from '../../../operations/import/import.js'
import { planOf } from '../../../operations/import/options.js'
import type { Registrar } from '../../../operations/import/parts.js'
import { beginRun, servicesOf } from '../../../operations/import/run.js'
import { bootstrap } from '../../../operations/init/bootstrap.js'
import { planMove } from '../../../operations/move/plan.js'
import { beginMove, carryOutMove, dropMoved } from '../../../operations/move/run.js'
import { parseServiceName, parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import { findTenant, insertTenant } from '../../../plugins/distributed-tenant/registry/tenants-table.js'
import { oldServer } from '../../cli/import-source.js'
import { severalInstances } from '../../plugins/distributed-tenant/placement/several.js'
import { until } from '../../until.js'
import type { Attempts, Door } from './intruder.js'

const total = Number(process.argv[2] ?? 14)
const ways = ['init', 'template', 'spare', 'clone', 'restore', 'move', 'import'] as const
const eachWay = Math.ceil(total / ways.length)
/** Few attempts prove nothing; the processor of a busy machine decides how many there are. */
const TRIES_AT_LEAST = 50

t.test('a database that is being created is entered by no role but the service’s', async t => {
  const { tenancy, look, database, servers, instances } = await severalInstances(t)
  const folder = mkdtempSync(join(tmpdir(), 'isolation-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const programs = createPrograms({ environment: process.env })
  const server = look('employee')
  const parts = await tenancy('employee', { instances })
  const home = await tenancy('employee', {})
  const sparing = await tenancy('employee', { spares: 2 })
  const { central } = parts.transfer
  const journal = createJournal(central)
  const add = (id: string) =>
    insertTenant(central, {
      id: parseTenantId(id),
      version: 1,
      name: id,
      domain: null,
      settings: {},
      lifecycle: 'active',
    })

  // Another tenant of the service, on its own instance; on the other one a role just like it.
  const intruder = parseTenantId('intruder')
  await add(intruder)
  await home.provisioner.provision(intruder)
  const user = 'tenant_intruder_employee'
  const password = parts.credentials.password(intruder, parts.credentials.current)
  const there = look('b')
  await there.unsafe(`create role ${user} login password '${password}' in role employee_tenant`)
  await there.unsafe(`create database ${user}`)
  const doors: Door[] = [database('employee'), instances.b as { host: string; port: number }].map(({ host, port }) => ({
    host,
    port,
    user,
    password,
  }))
  const child = fork(fileURLToPath(new URL('intruder.js', import.meta.url)), [JSON.stringify(doors)])
  t.teardown(() => child.kill())
  await once(child, 'message')
  const announce = (...announced: string[]) => child.send({ announced })
  const made: Record<string, number> = {}
  const repeat = async (way: (typeof ways)[number], make: (n: number) => Promise<void>) => {
    for (let n = 0; n < eachWay; n++) {
      await make(n)
      made[way] = (made[way] ?? 0) + 1
    }
  }

  const superuser = servers.postgres.employee as NonNullable<typeof servers.postgres.employee>
  await repeat('init', async n => {
    announce(`central_${n}`)
    await bootstrap({
      service: parseServiceName('employee'),
      database: { ...database('employee'), database: `central_${n}` },
      superuser,
      onStep: () => {},
    })
  })
  await repeat('template', async () => {
    announce('template_employee_1')
    await server`alter database template_employee_1 is_template false`
    await server`drop database template_employee_1`
    await (await tenancy('employee', {})).close()
  })
  await repeat('clone', async n => {
    announce(`tenant_clone${n}_employee`)
    await add(`clone${n}`)
    await parts.provisioner.provision(parseTenantId(`clone${n}`))
  })
  sparing.spares.start()
  await repeat('spare', async n => {
    announce(`tenant_spare${n}_employee`, ...[1, 2, 3].map(more => `spare_employee_${n + more}`))
    await add(`spare${n}`)
    await until('a spare', async () => (await central`select from spares`).length > 0)
    t.equal(await sparing.spares.take(parseTenantId(`spare${n}`)), 'taken')
  })

  const acme = parseTenantId('acme')
  await add(acme)
  await home.provisioner.provision(acme)
  const to = join(folder, 'acme.tar')
  await backUpTenant(acme, { services: [parts.transfer], programs, release: '0', to })
  await repeat('restore', async () => {
    announce('copy_employee_acme')
    const archive = await openArchive(to)
    const [part] = archive.manifest.services
    if (!part) throw new Error('nothing in the archive')
    const { sha256 } = archive
    const restore = await createServiceRestore(parts.transfer, acme, { part, programs, sha256 })
    await restore.build(() => archive.part(part))
    await restore.locked(() => restore.swap(true))
    await restore.sweep()
    await archive.close()
    await parts.provisioner.provision(acme)
  })
  await repeat('move', async () => {
    announce('tenant_acme_employee')
    const row = await findTenant(central, acme)
    const how = { journal, programs, folder, jobs: 1 }
    const plan = await planMove(parts.move, {
      ...how,
      id: acme,
      to: row?.instance === 'b' ? 'main' : 'b',
      room: 2 ** 40,
    })
    const run = await beginMove(journal, plan)
    await carryOutMove(parts.move, run, how)
    await dropMoved(parts.move, run, how)
  })
  const old = await oldServer(t)
  const source = createInstance({ ...old, database: 'postgres', ssl: 'prefer', sslRootCert: undefined })
  const services = [{ name: 'employee', target: {} as never, tenancy: home }]
  const unable = (): never => {
    throw new Error('not asked for')
  }
  const registrar: Registrar = {
    async register(id) {
      await add(id)
      await home.provisioner.provision(id)
    },
    suspend: unable,
    activate: unable,
    remove: unable,
  }
  await repeat('import', async n => {
    announce(`tenant_import${n}_employee`, 'transfer_employee_versions')
    await old.database(`tenant_import${n}_employee`, 'create table facts (n int)')
    const plan = await planOf(services, source, { parallel: 1, folder, tenant: [`import${n}`], room: ['employee=1TB'] })
    const run = await beginRun(services, source, plan)
    const how = { source, programs, folder, jobs: 1 }
    const outcomes = await runImport({ id: run, registrar, parallel: 1, services: servicesOf(services, run, how) })
    t.match(outcomes, [{ state: 'ready', error: null }])
  })
  await source.close()

  child.send({ stop: true })
  const [attempts] = (await once(child, 'message')) as [Attempts]
  t.comment(`creations ${JSON.stringify(made)}; ${JSON.stringify(attempts)}`)
  t.same(Object.keys(made).sort(), [...ways].sort())
  t.same(attempts.entered, [])
  t.ok(attempts.tries > TRIES_AT_LEAST, `${attempts.tries} tries`)
  t.ok(attempts.databases >= eachWay * 4, `${attempts.databases} databases were tried while they existed`)
})
