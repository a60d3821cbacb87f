// A program that starts a tenancy for tests, makes a tenant, and never closes either: to be killed.
import { startTestTenancy } from '../../testing/index.js'
import { notes } from '../rig.js'

const tenancy = await startTestTenancy({ service: 'billing', migrations: notes })
await tenancy.createTenant()
process.stdout.write(`made ${JSON.stringify(tenancy.options.database)}\n`)
setInterval(() => {}, 60_000)
