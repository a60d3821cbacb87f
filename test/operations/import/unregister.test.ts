// The roll back of a tenant that identity has: one that is not removed is served again, whatever kept it from being removed.
import t from 'tap'
import type { TransferTenant } from '../../../operations/copying/journal.js'
import type { Part } from '../../../operations/import/parts.js'
import { unregister } from '../../../operations/import/unregister.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'

const id = parseTenantId('acme')

/** @returns what was asked of identity */
async function rollBack(untouched: () => Promise<boolean>, { active = true, activates = true } = {}) {
  const asked: string[] = []
  const central = async () => [{ id, lifecycle: asked.includes('remove') ? 'deleted' : 'suspended' }]
  const part = {
    service: 'employee',
    central: central as unknown as Part['central'],
    row: { id, facts: { active }, contents: {} } as unknown as TransferTenant,
    transfer: { untouched },
    removeNow: async () => {},
  } as unknown as Part
  const registrar = {
    register: async () => {},
    suspend: async () => true,
    async activate() {
      asked.push('activate')
      if (!activates) throw new Error('identity does not answer')
    },
    async remove() {
      asked.push('remove')
    },
  }
  const error = await unregister(id, [part], registrar).then(
    () => null,
    ({ message }: Error) => message,
  )
  return { asked, error }
}

t.test('an untouched tenant is removed', async t => {
  t.same(await rollBack(async () => true), { asked: ['remove'], error: null })
})

t.test('one that was written to stays, and is served', async t => {
  const { asked, error } = await rollBack(async () => false)
  t.same(asked, ['activate'])
  t.match(error, /has been written to in employee/)
})

t.test('one that cannot be looked at stays, and is served', async t => {
  const lost = () => Promise.reject(new Error('the connection was cut off'))
  t.same(await rollBack(lost), { asked: ['activate'], error: 'the connection was cut off' })
  t.same(await rollBack(lost, { active: false }), { asked: [], error: 'the connection was cut off' })
  const { error } = await rollBack(lost, { activates: false })
  t.match(error, /the connection was cut off.*stays suspended \(identity does not answer\)/)
})
