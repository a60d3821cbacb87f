// A tenant's import that fails, and cannot be taken back either: the operator gets both reasons.
import t from 'tap'
import type { Journal, TransferTenant } from '../../../operations/copying/journal.js'
import { runImport } from '../../../operations/import/import.js'
import type { ImportService } from '../../../operations/import/parts.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'

const id = parseTenantId('acme')
const row = { id, step: 'pending', online: null, frozen: null } as TransferTenant

function service(undo: () => Promise<TransferTenant>): ImportService {
  const unused = () => Promise.reject(new Error('not asked for'))
  return {
    service: 'employee',
    central: {} as ImportService['central'],
    journal: { tenants: async () => [row], end: async () => {} } as Partial<Journal> as Journal,
    transfer: {
      freeze: () => Promise.reject(new Error('the source has prepared transactions')),
      bring: unused,
      registering: unused,
      ready: unused,
      untouched: unused,
      thaw: unused,
      undo,
    },
    removeNow: unused,
    report() {},
  }
}

const registrar = {
  register: async () => {},
  suspend: async () => false,
  activate: async () => {},
  remove: async () => {},
}

const run = (undo: () => Promise<TransferTenant>) =>
  runImport({ id: '20260101-000000', services: [service(undo)], registrar, parallel: 1 })

t.test('an import that fails', async t => {
  const back = async (): Promise<TransferTenant> => ({ ...row, step: 'failed' })
  t.match(await run(back), [{ id, state: 'failed', error: 'the source has prepared transactions' }])
  const [outcome] = await run(() => Promise.reject(new Error('the source does not answer')))
  t.equal(outcome?.state, 'failed')
  t.match(outcome?.error, /the source has prepared transactions.*the source does not answer/)
})
