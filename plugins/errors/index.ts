// One shape for every error of an application, `{ statusCode, code, error, message }`: those of the tenant plugin, of Fastify, of
// PostgreSQL and of an ORM, and unknown routes. Register it first. Invariant: foreign texts (a driver's, a stack) are never sent.
import type { FastifyError, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { checkPluginOptions } from '../distributed-tenant/index.js'
import { answer, asError, bodyOf } from './answer.js'

export { answer, type ErrorAnswer } from './answer.js'
export { type Constraints, naming } from './constraints.js'
export { logFormat } from './log-format.js'

export interface ErrorsOptions {
  /** The path of the API's documentation, which messages then refer to, like `/api/docs`. */
  readonly documentation?: string
}

const checkGiven = checkPluginOptions<ErrorsOptions>('errors', { documentation: 'string' })

async function errorsPlugin(app: FastifyInstance, options: ErrorsOptions): Promise<void> {
  checkGiven(options)
  const { documentation } = options
  app.setErrorHandler<FastifyError>((error, request, reply) => answer(asError(error), request, reply, documentation))
  const cure = documentation ? `see ${documentation} for those there are` : 'check its method and its path'
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send(bodyOf(404, 'ROUTE_NOT_FOUND', `No such route: ${cure}.`)),
  )
}

export const errors = fp<ErrorsOptions>(errorsPlugin, { name: 'fastify-distributed-tenant-errors', fastify: '5.x' })
export default errors
