// A service of the provisioning benchmarks: the real one, as its own process runs it, with a tenant schema of 20 tables
// instead of its own and two routes beside its own. SERVICE_NAME selects it.
import { fileURLToPath } from 'node:url'
import { subscribe } from '../../plugins/distributed-tenant/index.js'
import { buildCore } from '../../services/core/app.js'
import type { ServiceOptions } from '../../services/create-service.js'
import { buildEmployee } from '../../services/employee/app.js'
import { buildIdentity } from '../../services/identity/app.js'
import { serve } from '../../services/serve.js'

const builders = { identity: buildIdentity, employee: buildEmployee, core: buildCore }
const twenty = fileURLToPath(new URL('../../../bench/migrations/twenty', import.meta.url))
const config = { tenant: 'required' } as const

const name = (process.env.SERVICE_NAME ?? '').replace('-service', '') as keyof typeof builders

const passes: { ms: number; everything: boolean; opened: number }[] = []
let opened = 0

subscribe(
  ({ area, event }) => {
    if (area === 'connection' && event.type === 'opened' && event.key.startsWith('tenant_')) opened++
    if (area === 'reconcile' && event.type === 'pass')
      passes.push({ ms: event.ms, everything: event.everything, opened })
  },
  undefined,
  ['connection', 'reconcile'],
)

async function build(options: ServiceOptions) {
  const app = await builders[name]({ ...options, tenancy: { migrations: { tenant: twenty } } })
  // Looks the tenant up and opens nothing.
  app.get('/bench/touch', { config }, request => ({ id: request.tenant.id }))
  app.get('/bench/read', { config }, async request => {
    const [row] = await request.sql`select count(*)::int as count from bench_01`
    return row
  })
  app.get('/bench/passes', { config: { tenant: false } }, () => passes)
  return app
}

await serve(build, { name, port: 0 })
