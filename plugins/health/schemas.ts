// The answers of the health routes, as schemas. No tenant is named but the one in the request.
import type { Static } from 'typebox'
import { Type } from '../../events/json-schema.js'

const Part = Type.Object({
  status: Type.Enum(['up', 'down', 'off'], { description: '`off`: not configured, so it cannot be down.' }),
  latencyMs: Type.Optional(Type.Number()),
  detail: Type.Optional(Type.String()),
})

const EventLoop = Type.Object({
  status: Type.Enum(['up', 'down'], {
    description: '`down`: it was blocked for a second or more within the last minute.',
  }),
  latencyMs: Type.Optional(Type.Number({ description: 'How late its timer was last.' })),
  utilization: Type.Optional(Type.Number({ description: 'Share of the last half second it was busy, 0 to 1.' })),
  detail: Type.Optional(Type.String()),
})

const Connections = Type.Object({
  service: Type.String(),
  instance: Type.Object({ host: Type.String(), port: Type.Integer() }),
  open: Type.Integer(),
  idle: Type.Integer(),
  inUse: Type.Integer(),
  opening: Type.Integer(),
  waiting: Type.Integer(),
  budget: Type.Integer(),
  opened: Type.Integer({ description: 'Since the start, as the two below.' }),
  evicted: Type.Integer({ description: 'Closed while idle to make room for another tenant.' }),
  refused: Type.Integer({ description: 'Waits for a connection that ended in 503.' }),
  instances: Type.Record(
    Type.String(),
    Type.Object({
      host: Type.String(),
      port: Type.Integer(),
      open: Type.Integer(),
      idle: Type.Integer(),
      inUse: Type.Integer(),
      opening: Type.Integer(),
      waiting: Type.Integer(),
      budget: Type.Integer({ description: 'The most that this process may have there.' }),
    }),
    { description: 'The same by instance of PostgreSQL; `main` is the one of the central database.' },
  ),
})

const Consumer = Type.Object({
  durable: Type.String(),
  pending: Type.Optional(Type.Integer({ description: 'Events that were not delivered yet.' })),
  ackPending: Type.Optional(Type.Integer({ description: 'Delivered and not acknowledged yet.' })),
  redelivered: Type.Optional(Type.Integer()),
  missing: Type.Optional(Type.Literal(true, { description: 'The stream has no such consumer yet.' })),
})

export const HealthBody = Type.Object(
  {
    status: Type.Enum(['healthy', 'degraded', 'unhealthy'], {
      description: 'About the service. `degraded`: tenants are served, something beside is down.',
    }),
    timestamp: Type.String({ format: 'date-time' }),
    uptimeSeconds: Type.Optional(Type.Integer()),
    checks: Type.Object({ database: Part, redis: Part, nats: Part, provisioning: Part, eventLoop: EventLoop }),
    instances: Type.Optional(
      Type.Record(Type.String(), Part, {
        description:
          'The instances beside the one of the central database; one that is down affects its own tenants only.',
      }),
    ),
    outbox: Type.Optional(
      Type.Object({ waiting: Type.Integer(), oldestSeconds: Type.Number(), refused: Type.Integer() }),
    ),
    consumers: Type.Optional(Type.Array(Consumer)),
    deadEvents: Type.Optional(Type.Integer()),
    parkedEvents: Type.Optional(Type.Integer({ description: 'From a newer release, replayed when it runs here.' })),
    registry: Type.Optional(
      Type.Object({
        tenants: Type.Array(
          Type.Object({ lifecycle: Type.String(), provisioned: Type.String(), count: Type.Integer() }),
          { description: 'How many tenants this service knows, by state.' },
        ),
        schemaBehind: Type.Integer({ description: 'Ready tenants whose schema is older than this release’s.' }),
      }),
    ),
    spares: Type.Optional(Type.Integer()),
    fullInstances: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Instances of PostgreSQL that an operator has marked full: no new tenant goes there.',
      }),
    ),
    disk: Type.Optional(
      Type.Object({
        centralDatabaseBytes: Type.Number(),
        free: Type.Literal('unknown', { description: 'PostgreSQL does not report it: watch the disk where it is.' }),
      }),
    ),
    connections: Type.Optional(Connections),
    tenant: Type.Optional(
      Type.Object(
        {
          id: Type.Optional(Type.String()),
          status: Type.Enum([
            'ready',
            'provisioning',
            'failed',
            'outdated',
            'suspended',
            'moving',
            'not_found',
            'unavailable',
            'busy',
            'unknown',
          ]),
        },
        { description: 'The tenant the request names, in this service.' },
      ),
    ),
  },
  {
    title: 'Health',
    description: 'Without a token: `status`, `timestamp`, the status of each check and the status of the named tenant.',
  },
)

export const LiveBody = Type.Object({ status: Type.Literal('alive') })

export const ReadyBody = Type.Object({
  status: Type.Enum(['ready', 'draining', 'unavailable', 'busy'], {
    description:
      '`unavailable`: the central database does not answer. `busy`: the connection budget has been spent for 10 s.',
  }),
})
export type Readiness = Static<typeof ReadyBody>['status']

export const ErrorBody = Type.Object(
  { statusCode: Type.Integer(), code: Type.String(), error: Type.String(), message: Type.String() },
  { title: 'Error' },
)
