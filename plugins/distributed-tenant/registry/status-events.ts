// Owns the status event of a row: what this service says about one tenant, in the transaction that made it so.
import { type StatusEvent, statusSubject } from '../../../events/index.js'
import type { QueryClient, RegistryRow, ServiceName } from '../types.js'
import { writeOutbox } from './outbox.js'

type Said = Pick<StatusEvent, 'status' | 'step' | 'error' | 'steps' | 'schemaVersion' | 'foreign' | 'nextTryAt'>

/** Ordered by the row's revision, so one row's state is told once however often it is written. */
export async function writeStatus(tx: QueryClient, service: ServiceName, row: RegistryRow, said: Said): Promise<void> {
  const subject = statusSubject(said.status, service)
  const payload: StatusEvent = {
    id: row.id,
    service,
    version: row.version,
    revision: row.revision,
    attempts: row.attempts,
    at: new Date().toISOString(),
    ...said,
  }
  await writeOutbox(tx, { tenantId: row.id, subject, messageId: `${subject}:${row.id}:${row.revision}`, payload })
}
