// Rival of the lookup: the same connections, client and routes, and a table in the code that maps tenants to databases.
// Nothing is parsed, looked up, authorised or set on the reply; the client is given back when the response was sent.
import Fastify, { type FastifyRequest } from 'fastify'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { ClientScope } from '../../postgres/sql/client.js'
import { type Arm, type ArmConfig, tenantHeader } from '../arm.js'
import { makeParts } from '../parts.js'
import { addRoutes, type Client } from '../routes.js'

const kScope = Symbol('scope')
type Carrier = { [kScope]?: ClientScope }

export async function make(config: ArmConfig): Promise<Arm> {
  const app = Fastify()
  const { tenancy, clientFor } = makeParts(app, config)
  await tenancy.prepare()
  const table = new Map(config.tenants.map(id => [id, id as TenantId]))
  addRoutes(app, (request: FastifyRequest & Carrier) => {
    const scope = clientFor(table.get(request.headers[tenantHeader] as string) as TenantId)
    request[kScope] = scope
    return scope.sql as Client
  })
  app.addHook('onResponse', (request, _reply, done) => {
    ;(request as Carrier)[kScope]?.release()
    done()
  })
  await app.ready()
  return { app }
}
