// A central database that is restored into an empty one: refused by name, with nothing touched, where the service's role has
// another name than the archive's or a role of its rights is missing; else the same as it was.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openArchive } from '../../../operations/archive/archive-reader.js'
import { backUpCentral } from '../../../operations/archive/backup.js'
import { restoreCentralDatabase } from '../../../operations/archive/restore-central.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import { bootstrap } from '../../../operations/init/bootstrap.js'
import { withOperations } from '../../../operations/parts.js'
import { settle } from '../../../plugins/distributed-tenant/config/settings.js'
import { parseServiceName } from '../../../plugins/distributed-tenant/names.js'
import { createTenancy } from '../../../plugins/distributed-tenant/tenancy.js'
import { notes, rig, roleSecret } from '../../rig.js'

t.test('a central database out of an archive', async t => {
  const { servers, database, tenancy, look } = await rig(t, ['core'])
  const folder = mkdtempSync(join(tmpdir(), 'central-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const programs = createPrograms({ environment: process.env })
  const { transfer } = await tenancy('core')
  const to = join(folder, 'central.tar')
  await backUpCentral({ services: [transfer], programs, release: '0', to })
  const archive = await openArchive(to)
  t.teardown(() => archive.close())
  const [part] = archive.manifest.services
  if (!part) throw new Error('the archive holds no service')

  /** An empty central database that `init` makes. */
  const empty = async (name: string, user: string) => {
    const own = { ...database('core'), database: name, user }
    const { user: root, password } = servers.postgres.core as NonNullable<typeof servers.postgres.core>
    const superuser = { user: root, password }
    await bootstrap({ service: parseServiceName('core'), database: own, superuser, onStep: () => {} })
    const settings = settle({
      service: 'core',
      database: own,
      migrations: { tenant: notes },
      nats: null,
      redis: null,
      source: false,
      roleSecret,
      spares: 0,
    })
    const parts = withOperations(createTenancy(settings))
    t.teardown(() => parts.close())
    return parts.transfer
  }
  const how = { dump: () => archive.part(part), programs, signal: new AbortController().signal }
  const objects = (name: string) =>
    look('core', name)`select relname from pg_class where relnamespace = 'public'::regnamespace`

  await t.test('of a service’s role of another name is refused, with the role to use', async t => {
    const other = await empty('core_other', 'other_service')
    for (const dryRun of [true, false]) {
      await t.rejects(restoreCentralDatabase(other, { ...how, part, dryRun }), {
        code: 'TRANSFER_REFUSED',
        message: /core_service_audit.* here is other_service\. Nothing was changed.*DB_USERNAME=core_service/,
      })
    }
    t.same([...(await objects('core_other'))], [])
    t.same([...(await look('core')`select from pg_roles where rolname = 'other_service_audit'`)], [])
  })

  await t.test('whose rights name a role that is not there is refused, and restored once it is', async t => {
    const again = await empty('core_again', 'core_service')
    const theirs = { ...part, roles: [...(part.roles ?? []), 'lost_reports'] }
    await t.rejects(restoreCentralDatabase(again, { ...how, part: theirs, dryRun: true }), {
      code: 'TRANSFER_REFUSED',
      message: /does not have \(lost_reports\)\. Nothing was changed: create them first/,
    })
    t.same([...(await objects('core_again'))], [])
    await look('core')`create role lost_reports`
    await restoreCentralDatabase(again, { ...how, part: theirs, dryRun: false })
    t.ok((await objects('core_again')).some(({ relname }) => relname === 'tenants'))
    const [row] = await look('core', 'core_again')`
      select has_table_privilege('core_service_audit', 'audit_log', 'insert') as writes`
    t.same(row, { writes: true })
  })
})
