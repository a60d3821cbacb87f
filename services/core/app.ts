// The core service: its migrations and its routes. Composition and process are shared.
import type { FastifyInstance } from 'fastify'
import { createService, type ServiceOptions } from '../create-service.js'
import { departmentRoutes } from './routes/departments.js'
import { leaveRequestRoutes } from './routes/leave-requests.js'

/** The core service, without listening. */
export function buildCore(options: ServiceOptions = {}): Promise<FastifyInstance> {
  return createService(
    {
      name: 'core',
      description: 'Departments and leave of each tenant, each tenant in a database of its own.',
      migrations: { tenant: new URL('./migrations/tenant/', import.meta.url) },
      routes: async app => {
        await app.register(departmentRoutes, { prefix: '/api/departments' })
        await app.register(leaveRequestRoutes, { prefix: '/api/leave-requests' })
      },
    },
    options,
  )
}
