// The routes of runs: the journals, and migrations and drains that the service carries out itself. Imports, backups and moves of one
// tenant are the command's, and a run of these names its command.
import { createError } from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { Type } from '../../events/json-schema.js'
import { type BegunRun, parseTenantId, type RunResult, type ServiceRuns } from '../distributed-tenant/index.js'
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
import { cures, listRuns, type Run, runTenants } from './runs.js'
import * as schemas from './schemas.js'

export const RunRefused = createError('RUN_REFUSED', '%s', 409)
export const RunNotRunning = createError(
  'RUN_NOT_RUNNING',
  'This run is over, or its service carries out no such run: look at the list again.',
  409,
)

const RUNS = 50
/** A migration under way is waited for so long at the end of the process; PostgreSQL takes back one that is cut off. */
const CLOSE_MS = 5_000
const RUN_TENANTS = 500
const MOST_TENANTS = 1_000

const run = Type.Object({ run: Type.String({ maxLength: 100 }) }, closed)
const conflict = { 409: schemas.ErrorBody, 422: schemas.ErrorBody }

export function runRoutes(app: FastifyInstance, { access, role, drains }: OperatorParts): void {
  const reading = operatorRoute('read', false, role)
  const administering = operatorRoute('administer', true, role)
  const migrations = access.migrations((result, error) => report(app, result, error))
  // Before the connections close: the tenants under way are recorded.
  app.addHook('preClose', async () => void (await Promise.all([migrations.close(CLOSE_MS), drains?.close(CLOSE_MS)])))

  app.get<{ Querystring: { kind?: Run['kind'] } }>(
    '/runs',
    {
      ...reading,
      schema: described('Migrations, moves, imports and backups, the newest first', schemas.RunsBody, {
        querystring: Type.Object({ kind: Type.Optional(Type.Enum(Object.keys(cures))) }, closed),
      }),
    },
    async request => ({
      items: await listRuns(app.central, access.service, RUNS, { kind: request.query.kind, drains: drains !== null }),
    }),
  )

  app.get<{ Params: { run: string } }>(
    '/runs/:run',
    { ...reading, schema: described('The tenants of a run, failed ones first', schemas.RunBody, { params: run }) },
    async request => ({ items: await runTenants(app.central, request.params.run, RUN_TENANTS) }),
  )

  app.post<{ Body: { tenants?: string[]; canaries?: string[] } | null }>(
    '/runs',
    {
      ...administering,
      schema: described('Migrate every tenant that is behind, or some of them, in this process', schemas.BegunBody, {
        body: Type.Object(
          { tenants: Type.Optional(tenantList('Only these.')), canaries: Type.Optional(tenantList('These first.')) },
          closed,
        ),
        response: { 202: schemas.BegunBody, ...refusals, ...conflict, 400: schemas.ErrorBody },
      }),
    },
    async (request, reply) => {
      const { tenants, canaries } = request.body ?? {}
      const only = tenants?.map(parseTenantId)
      reply.code(202)
      return begun(migrations.start({ only, canaries: canaries?.map(parseTenantId) }))
    },
  )

  app.post<{ Params: { run: string } }>(
    '/runs/:run/resume',
    {
      ...administering,
      schema: described('Go on with a migration or a drain: what was not reached, and what failed', schemas.BegunBody, {
        params: run,
        response: { 202: schemas.BegunBody, ...refusals, ...notFound, ...conflict },
      }),
    },
    async (request, reply) => {
      reply.code(202)
      const { run: id } = request.params
      const drain = await drains?.resume(id, nameOf(request))
      return drain ? { run: drain } : begun(migrations.resume(id))
    },
  )

  app.post<{ Params: { run: string }; Body: { confirm?: string } | null }>(
    '/runs/:run/rollback',
    {
      ...administering,
      schema: described('Take back what a migration has applied, by its undo files', schemas.BegunBody, {
        params: run,
        body: Type.Object({ confirm: Type.Optional(Type.String({ maxLength: 100 })) }, closed),
        response: { 202: schemas.BegunBody, ...refusals, ...notFound, ...conflict },
      }),
    },
    async (request, reply) => {
      const id = request.params.run
      if (request.body?.confirm !== id) throw new NotConfirmed(id)
      reply.code(202)
      return begun(migrations.rollBack(id))
    },
  )

  app.post<{ Params: { run: string } }>(
    '/runs/:run/stop',
    {
      ...administering,
      schema: described(
        'Stop a migration or a drain after the tenants under way, wherever it runs',
        schemas.StoppedBody,
        {
          params: run,
          response: { 200: schemas.StoppedBody, ...refusals, ...notFound, ...conflict },
        },
      ),
    },
    async request => {
      const id = request.params.run
      const stopped = (await drains?.stop(id)) ?? (await migrations.stop(id, `stopped by ${nameOf(request)}`))
      if (!stopped) throw new RunNotRunning()
      return { id, stopped: true }
    },
  )
}

const tenantList = (description: string) =>
  Type.Array(Type.String({ maxLength: 100 }), { minItems: 1, maxItems: MOST_TENANTS, description })

/** What a migration refuses is for the operator to read, with its cure; it is no fault of the service. */
async function begun(run: ReturnType<ServiceRuns['start']>): Promise<{ run: BegunRun | null }> {
  try {
    return { run: await run }
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    if (code === 'MIGRATION_INVALID') throw new RunRefused(message)
    throw error
  }
}

function report(app: FastifyInstance, result: RunResult | null, error: unknown): void {
  if (error) {
    app.log.error({ err: error }, 'a migration run ended with an error: resume it')
    return
  }
  const { run, failed } = result as RunResult
  const { id, state, reason, counts } = run ?? {}
  app.log[failed.length > 0 ? 'warn' : 'info']({ run: id, state, reason, counts }, 'a migration run has ended')
}
