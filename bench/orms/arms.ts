// The arms of `orm`: the plugin with an ORM as its documentation writes it, and the same ORM on one pool without tenants.
import Fastify from 'fastify'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { ClientScope } from '../../postgres/sql/client.js'
import { type Arm, databaseOf, type MakeArm } from '../arm.js'
import { answersOf, pluginOptions } from '../ours.js'
import { makeParts } from '../parts.js'
import { idOf } from '../routes.js'
import type { OrmName } from './names.js'
import type { Reads } from './reads/read.js'

const load: Readonly<Record<OrmName, () => Promise<{ reads: Reads }>>> = {
  drizzle: () => import('./reads/drizzle.js'),
  kysely: () => import('./reads/kysely.js'),
  pg: () => import('./reads/pg.js'),
  'mikro-orm': () => import('./reads/mikro-orm.js'),
  prisma: () => import('./reads/prisma.js'),
}

export const ofTenants =
  (orm: OrmName): MakeArm =>
  async config => {
    const { reads } = await load[orm]()
    const app = Fastify()
    await app.register(distributedTenant, pluginOptions(config))
    const readOf = reads.ofTenants(app.tenants)
    const { clientFor } = makeParts(app, config)
    const [id] = config.tenants as readonly TenantId[]
    app.get('/read/:id', request => readOf(request)(idOf(request)))
    app.get('/touch', request => ({ id: request.tenant.id, lazy: typeof request.sql }))
    await app.ready()
    return {
      app,
      answers: {
        ...answersOf(app, config),
        make: count => timeMaking(() => clientFor(id as TenantId), reads, count as number),
      },
    }
  }

export const onOwnPool =
  (orm: OrmName): MakeArm =>
  async ({ login, service, tenants: [only = ''], budget }): Promise<Arm> => {
    const { reads } = await load[orm]()
    const read = reads.own({ ...login, database: databaseOf(only, service), max: budget })
    const app = Fastify()
    app.get('/read/:id', request => read(idOf(request)))
    return { app }
  }

/** Microseconds of this process's CPU for one client of a tenant, the ORM on it, and their end. */
function timeMaking(clientOf: () => ClientScope, { make }: Reads, count: number): number {
  if (!make) throw new Error('nothing is made for a request')
  const before = process.cpuUsage()
  for (let made = 0; made < count; made++) {
    const scope = clientOf()
    make(scope.sql)
    scope.release()
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}
