// The JSON schemas of the feed.
import { Type } from '../../../events/json-schema.js'
import type { JsonObject } from '../../../plugins/distributed-tenant/index.js'
import { nullableTimestamp } from '../../http/schemas.js'

export const Change = Type.Object(
  {
    seq: Type.Integer({ description: 'The number of its newest change.' }),
    id: Type.String(),
    version: Type.Integer(),
    name: Type.String(),
    domain: Type.Unsafe<string | null>({ type: ['string', 'null'] }),
    settings: Type.Unsafe<JsonObject>({ type: 'object', additionalProperties: true }),
    lifecycle: Type.Enum(['active', 'suspended', 'deleted']),
    incarnation: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'Which tenant of this id: another one when the id was given away again after identity was set back.',
    }),
    ledger: Type.Optional(
      Type.Unsafe<{ status: string; revision: number } | null>({
        anyOf: [
          { type: 'null' },
          { type: 'object', properties: { status: { type: 'string' }, revision: { type: 'integer' } } },
        ],
        description: 'With `service`: the newest that this service has said about it.',
      }),
    ),
    deletedAt: nullableTimestamp,
    purgeAfter: nullableTimestamp,
    purgeable: Type.Boolean({ description: 'Deleted, and the retention is over.' }),
  },
  { title: 'Change' },
)

export const Changes = Type.Object(
  {
    items: Type.Array(Change),
    next: Type.Integer({ description: 'Send it as `after` for the next page.' }),
    head: Type.Integer({ description: 'The newest change there is.' }),
    history: Type.String({
      description: 'Changes when the database was set back or replaced: read everything anew.',
    }),
  },
  { title: 'Changes' },
)

export const ChangesQuery = Type.Object(
  {
    after: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 })),
    service: Type.Optional(
      Type.String({
        maxLength: 15,
        pattern: '^[a-z][a-z0-9]{0,14}$',
        description: 'The reading service: adds its `ledger` to each.',
      }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 500 })),
  },
  { additionalProperties: false },
)
