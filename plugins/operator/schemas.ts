// The operator API's answers, as schemas for its OpenAPI document. Each is open: a newer release may answer more.
import { Type } from '../../events/json-schema.js'

type Properties = Parameters<typeof Type.Object>[0]
const open = (title: string, properties: Properties, description?: string) =>
  Type.Object(properties, { title, additionalProperties: true, ...(description && { description }) })
const some = (type: string) => Type.Unsafe<unknown>({ type: [type, 'null'] })
const moment = Type.Unsafe<unknown>({ type: 'string', format: 'date-time' })
const maybeMoment = Type.Unsafe<unknown>({ type: ['string', 'null'], format: 'date-time' })
const anything = Type.Unsafe<unknown>({})

export const ErrorBody = Type.Object(
  { statusCode: Type.Integer(), code: Type.String(), error: Type.String(), message: Type.String() },
  { title: 'Error' },
)

export const AccessBody = open('OperatorAccess', {
  service: Type.String(),
  schemaVersion: Type.Integer({ description: 'The newest tenant migration of this release.' }),
  name: Type.String(),
  role: Type.Enum(['read', 'act', 'administer']),
})

export const OverviewBody = open('ServiceOverview', {
  service: Type.String(),
  at: moment,
  uptimeSeconds: Type.Integer(),
  schemaVersion: Type.Integer({ description: 'The newest tenant migration of this release.' }),
  parts: open('ServiceParts', {}, 'central, cache, events, provisioning: `up`, `down` or `off`, and why.'),
  instances: Type.Array(open('InstanceState', { name: Type.String(), status: Type.String(), breaker: some('string') })),
  connections: open('ServiceConnections', { budget: Type.Integer(), inUse: Type.Integer(), waiting: Type.Integer() }),
  figures: Type.Unsafe<unknown>({ type: ['object', 'null'], additionalProperties: true }),
  consumers: Type.Unsafe<unknown>({ type: ['object', 'null'], additionalProperties: true }),
  drift: Type.Array(
    open('DriftReported', { at: moment, kind: Type.String(), id: Type.String(), detail: Type.String() }),
  ),
  interrupted: Type.Unsafe<unknown>({
    type: ['array', 'null'],
    items: { type: 'object', additionalProperties: true },
    description: 'Runs that have not ended though their process is gone.',
  }),
  findings: Type.Array(
    open('ServiceFinding', {
      severity: Type.Enum(['bad', 'warn']),
      what: Type.String(),
      about: Type.String(),
      cure: Type.String(),
    }),
  ),
})

const registry = {
  id: Type.String(),
  lifecycle: Type.String(),
  provisioned: Type.String(),
  instance: Type.String(),
  schemaVersion: some('integer'),
  attempts: Type.Integer(),
  step: some('string'),
  lastError: some('string'),
  nextAttemptAt: maybeMoment,
  updatedAt: moment,
}

export const RowsBody = open('RegistryRows', {
  schemaVersion: Type.Integer(),
  items: Type.Array(open('RegistryRow', registry)),
  next: some('string'),
})

export const TenantBody = open('ServiceTenant', {
  service: Type.String(),
  schemaVersion: Type.Integer(),
  registry: Type.Unsafe<unknown>({ type: ['object', 'null'], additionalProperties: true }),
  database: open('TenantDatabase', { name: Type.String(), bytes: some('number'), sessions: some('integer') }),
  connections: open('TenantConnections', { open: Type.Integer(), inUse: Type.Integer(), waiting: Type.Integer() }),
  backup: Type.Unsafe<unknown>({ type: ['object', 'null'], additionalProperties: true }),
  audit: Type.Array(open('AuditEntry', { at: moment, kind: Type.String(), result: Type.String(), detail: anything })),
})

export const ConnectionsBody = open('ConnectionsNow', {
  service: Type.String(),
  now: open('ConnectionCounters', { budget: Type.Integer(), inUse: Type.Integer(), waiting: Type.Integer() }),
  holders: Type.Array(
    open('ConnectionHolder', { database: Type.String(), open: Type.Integer(), waiting: Type.Integer() }),
  ),
  samples: Type.Array(open('ConnectionSample', { at: Type.Number(), inUse: Type.Integer(), waiting: Type.Integer() })),
})

export const dead = {
  id: Type.String(),
  subject: Type.String(),
  reason: Type.String(),
  parked: Type.Boolean(),
  receivedAt: moment,
  replays: Type.Integer(),
  lastError: some('string'),
  resolution: some('string'),
}

export const DeadBody = open('DeadEvents', {
  items: Type.Array(open('DeadEvent', dead)),
  next: some('string'),
})
export const DeadOne = open('DeadEventContents', {
  ...dead,
  body: Type.String({ description: 'As text; bytes that are no UTF-8 are replaced.' }),
  headers: anything,
})

export const ReplayBody = open('Replay', { ok: Type.Boolean(), error: Type.Optional(some('string')) })

export const RunsBody = open('Runs', {
  items: Type.Array(
    open('Run', {
      id: Type.String(),
      kind: Type.String(),
      state: Type.String(),
      goal: Type.String(),
      startedAt: moment,
      endedAt: maybeMoment,
      counts: anything,
      changedAt: maybeMoment,
      here: Type.Boolean({ description: 'Whether the service can stop it and go on with it.' }),
      cure: some('string'),
      resume: some('string'),
      rollback: some('string'),
      next: Type.Array(open('RunCommand', { what: Type.String(), command: Type.String() })),
    }),
  ),
})
export const RunBody = open('RunTenants', {
  items: Type.Array(
    open('RunTenant', {
      id: some('string'),
      state: Type.String(),
      error: some('string'),
      ms: some('number'),
      bytes: some('number'),
    }),
  ),
})

export const BegunBody = open('BegunRun', {
  run: Type.Unsafe<unknown>({
    type: ['object', 'null'],
    properties: { id: Type.String(), tenants: Type.Integer(), target: Type.Integer() },
    description: 'It goes on after the answer: read its tenants. Null when there was nothing to do.',
  }),
})
export const DrainPlanBody = open('DrainPlan', {
  instance: Type.String(),
  way: Type.Enum(['online', 'frozen'], {
    description: '`frozen`: the writers of each tenant are refused while it is copied.',
  }),
  tenants: Type.Integer(),
  bytes: Type.Number(),
  to: anything,
  stays: Type.Array(open('StayingTenant', { id: Type.String(), why: Type.String() })),
  staying: Type.Integer(),
  unfinished: some('string'),
})

export const StoppedBody = open('StoppedRun', { id: Type.String(), stopped: Type.Boolean() })

export const FindingsBody = open('FleetFindings', {
  items: Type.Array(
    open('FleetFinding', {
      tenant: some('string'),
      instance: Type.String(),
      what: Type.String(),
      cure: Type.String(),
      fixable: Type.Boolean(),
    }),
  ),
  more: Type.Integer(),
})

export const RepairBody = open('Repair', { tenant: Type.String(), repaired: Type.Boolean() })

export const InstancesBody = open('Instances', {
  items: Type.Array(
    open('Instance', {
      name: Type.String(),
      host: Type.String(),
      port: Type.Integer(),
      tenants: Type.Integer(),
      fullSince: maybeMoment,
      fullBy: some('string'),
      drainHere: Type.Boolean({ description: 'Whether the service can drain it.' }),
    }),
  ),
})
