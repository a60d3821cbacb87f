// The status event of a row: this service's state of one tenant, written in the transaction that changed it.
import { randomBytes } from 'node:crypto'
import { type StatusEvent, statusSubject } from '../../../events/index.js'
import type { QueryClient, RegistryRow, ServiceName, SqlClient, TenantId } from '../types.js'
import { writeOutbox } from './outbox.js'
import { findTenant } from './tenants-table.js'

type StatusFields = Pick<
  StatusEvent,
  'status' | 'step' | 'error' | 'steps' | 'schemaVersion' | 'foreign' | 'nextTryAt' | 'repeated'
>

/** Ordered by the row's revision, so one row's state is published once however often it is written. */
export async function writeStatus(
  tx: QueryClient,
  service: ServiceName,
  row: RegistryRow,
  fields: StatusFields,
): Promise<void> {
  const subject = statusSubject(fields.status, service)
  const payload: StatusEvent = {
    id: row.id,
    service,
    version: row.version,
    revision: row.revision,
    attempts: row.attempts,
    at: new Date().toISOString(),
    ...(row.incarnation !== null && { incarnation: row.incarnation }),
    ...fields,
  }
  // Where this database was set back the same revision comes twice. No other service may know the id beforehand: the
  // stream would drop ours as a repeat of its message.
  const messageId = `${subject}:${row.id}:${row.revision}:${randomBytes(4).toString('hex')}`
  await writeOutbox(tx, { tenantId: row.id, subject, messageId, payload })
}

/**
 * Publishes this service's status of a tenant again, under a revision that is newer than `than`: the ledger was set back, or
 * this registry was.
 */
export async function repeatStatus(
  central: SqlClient,
  service: ServiceName,
  { id, revision }: { readonly id: TenantId; readonly revision: number },
): Promise<void> {
  await central.begin(async tx => {
    await tx`update tenants set revision = greatest(revision, ${revision}::bigint) where id = ${id}`
    const row = await findTenant(tx, id)
    if (!row || row.provisioned === 'pending') return
    const { provisioned, schemaVersion, nextAttemptAt } = row
    const step = row.step === null ? {} : { step: row.step }
    if (provisioned === 'ready' || provisioned === 'removed') {
      const schema = provisioned === 'ready' && schemaVersion !== null ? { schemaVersion } : {}
      return writeStatus(tx, service, row, { status: provisioned, ...step, ...schema, repeated: true })
    }
    const error = row.lastError === null ? {} : { error: row.lastError }
    const next = nextAttemptAt === null ? {} : { nextTryAt: nextAttemptAt.toISOString() }
    await writeStatus(tx, service, row, {
      status: 'failed',
      ...step,
      ...error,
      ...next,
      ...(provisioned === 'foreign' && { foreign: true }),
      repeated: true,
    })
  })
}
