// Owns what the health routes answer, as schemas. No tenant is named but the one that was asked for.
import { Type } from 'typebox'

const Part = Type.Object({
  status: Type.Enum(['up', 'down', 'off'], { description: '`off`: not configured, so it cannot be down.' }),
  latencyMs: Type.Optional(Type.Number()),
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
})

export const HealthBody = Type.Object(
  {
    status: Type.Enum(['healthy', 'degraded', 'unhealthy'], {
      description: 'About the service. `degraded`: tenants are served, something beside is down.',
    }),
    timestamp: Type.String({ format: 'date-time' }),
    uptimeSeconds: Type.Integer(),
    checks: Type.Object({ database: Part, redis: Part, nats: Part, provisioning: Part }),
    outbox: Type.Optional(Type.Object({ waiting: Type.Integer(), oldestSeconds: Type.Number() })),
    connections: Type.Optional(Connections),
    tenant: Type.Optional(
      Type.Object(
        {
          id: Type.Optional(Type.String()),
          status: Type.Enum([
            'ready',
            'provisioning',
            'failed',
            'suspended',
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
  { title: 'Health' },
)

export const LiveBody = Type.Object({ status: Type.Literal('alive') })

export const ReadyBody = Type.Object({ status: Type.Enum(['ready', 'draining', 'unavailable']) })

export const ErrorBody = Type.Object(
  { statusCode: Type.Integer(), code: Type.String(), error: Type.String(), message: Type.String() },
  { title: 'Error' },
)
