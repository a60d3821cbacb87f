// One read by key through an ORM, over tenants' clients and over one pool of its own. Each ORM writes the same statement
// on both sides; what differs is where it goes.
import type { FastifyRequest } from 'fastify'
import type { SqlClient, Tenants } from '../../../plugins/distributed-tenant/index.js'
import type { Login } from '../../arm.js'

export type Read = (id: number) => Promise<unknown>

export interface OwnPool extends Login {
  readonly database: string
  readonly max: number
}

export interface Reads {
  /** As the documentation writes it; called before the application is ready. */
  ofTenants(tenants: Tenants): (request: FastifyRequest) => Read
  own(pool: OwnPool): Read
  /** What is made for one request, where something is. */
  make?(sql: SqlClient): unknown
}
