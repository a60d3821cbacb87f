// The routes of drains: the plan of one, and its begin. The routes of runs stop and resume it (run-routes.ts).
import type { FastifyInstance } from 'fastify'
import { Type } from '../../events/json-schema.js'
import type { Drains } from './drains.js'
import {
  closed,
  described,
  NotConfirmed,
  nameOf,
  notFound,
  type OperatorParts,
  operatorRoute,
  refusals,
} from './route-options.js'
import * as schemas from './schemas.js'

const instance = Type.Object({ name: Type.String({ maxLength: 100 }) }, closed)
const conflict = { 409: schemas.ErrorBody, 422: schemas.ErrorBody }
const begin = Type.Object(
  {
    count: Type.Integer({ minimum: 0, description: 'The number of tenants that the plan has shown.' }),
    confirm: Type.Optional(Type.String({ maxLength: 100, description: 'The name of the instance, typed once more.' })),
  },
  closed,
)

export function drainRoutes(app: FastifyInstance, role: OperatorParts['role'], drains: Drains): void {
  app.get<{ Params: { name: string } }>(
    '/instances/:name/drain',
    {
      ...operatorRoute('read', false, role),
      schema: described('What a drain of this instance would do', schemas.DrainPlanBody, {
        params: instance,
        response: { 200: schemas.DrainPlanBody, ...refusals, ...notFound, ...conflict },
      }),
    },
    async request => drains.plan(request.params.name),
  )

  app.post<{ Params: { name: string }; Body: { count: number; confirm?: string } }>(
    '/instances/:name/drain',
    {
      ...operatorRoute('administer', true, role),
      schema: described('Mark an instance full and move its tenants away, in this process', schemas.BegunBody, {
        params: instance,
        body: begin,
        response: { 202: schemas.BegunBody, ...refusals, ...notFound, ...conflict },
      }),
    },
    async (request, reply) => {
      const { name } = request.params
      if (request.body.confirm !== name) throw new NotConfirmed(name)
      reply.code(202)
      return { run: await drains.start(name, request.body.count, nameOf(request)) }
    },
  )
}
