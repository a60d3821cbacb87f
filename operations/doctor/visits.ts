// The checks that need a connection to each tenant's database: its certificate, its schema, and objects that no copy keeps.

import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { appliedVersion } from '../../postgres/migrations/migrations.js'
import { notCopyable } from '../copying/not-copyable.js'
import type { OpenService } from '../open-services.js'
import { sentenceOf } from '../outcome.js'
import { type Problem, problem } from './problem.js'

const VISITS = 4

export async function visits({ tenancy }: OpenService): Promise<Problem[]> {
  const { central, sets, withDirectConnection, service } = tenancy.fleet
  const rows = await central<{ id: TenantId; schemaVersion: number; certificate: string }[]>`
    select id, schema_version as "schemaVersion", certificate from tenants
    where provisioned = 'ready' and lifecycle <> 'deleted' order by id`
  const found: Problem[] = []
  const line = rows[Symbol.iterator]()
  const set = sets.at(-1)?.name ?? 'tenant'
  async function worker(): Promise<void> {
    for (const { id, schemaVersion, certificate } of line) {
      try {
        await withDirectConnection(tenantDatabaseName(id, service), async inside => {
          const [row] = await inside<{ certificate: string }[]>`select certificate from distributed_tenant.certificate`
          if (row?.certificate !== certificate)
            found.push(problem('certificate wrong', id, 'it is another tenant’s database: stop it and inspect it'))
          const applied = await appliedVersion(inside, set)
          if (applied !== schemaVersion)
            found.push(
              problem('schema version wrong', id, `the database is at ${applied}, the registry says ${schemaVersion}`),
            )
          const { never, perhaps } = await notCopyable(inside)
          for (const { what, cure } of never) found.push(problem('cannot be backed up', id, `it has ${what}: ${cure}`))
          for (const { what, cure } of perhaps)
            found.push(problem('may not be restorable', id, `it has ${what}: ${cure}`))
        })
      } catch (error) {
        found.push(problem('cannot be visited', id, sentenceOf(error)))
      }
    }
  }
  await Promise.all(Array.from({ length: VISITS }, worker))
  return found
}
