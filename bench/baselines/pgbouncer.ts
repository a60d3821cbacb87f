// Rival: PgBouncer in transaction mode between the service and its databases, one database per tenant by wildcard. The
// service keeps a Map of `postgres` pools to it, with prepared statements where the pooler follows them (1.21).
import Fastify from 'fastify'
import type { Arm, ArmConfig } from '../arm.js'
import { addRoutes } from '../routes.js'
import { postgresPools } from './postgres-pools.js'
import { tenantOf } from './tenant-of.js'

/** `config.login` names the pooler, `config.options.prepare` is whether it follows prepared statements. */
export function make(config: ArmConfig): Arm {
  const app = Fastify()
  const known = new Set(config.tenants)
  // A startup parameter or the query of pg_type would each cost the pooler something that is not measured here.
  const pools = postgresPools(config, { prepare: config.options?.prepare === true, fetch_types: false })
  addRoutes(app, request => pools.of(tenantOf(request, known)))
  return { app }
}
