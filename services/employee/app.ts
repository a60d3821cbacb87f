// The employee service: its migrations and its routes. Composition and process are shared.
import type { FastifyInstance } from 'fastify'
import { createService, type ServiceOptions } from '../create-service.js'
import { employeeRoutes } from './routes/employees.js'

/** The employee service, without listening. */
export function buildEmployee(options: ServiceOptions = {}): Promise<FastifyInstance> {
  return createService(
    {
      name: 'employee',
      description: 'The people of each tenant, each tenant in a database of its own.',
      migrations: { tenant: new URL('./migrations/tenant/', import.meta.url) },
      routes: async app => {
        await app.register(employeeRoutes, { prefix: '/api/employees' })
      },
    },
    options,
  )
}
