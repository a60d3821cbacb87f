// The JSON schemas of the fleet's routes in the operator API.
import { Type } from '../../../events/json-schema.js'
import { sorts } from '../fleet.js'
import { PLACE, PLACE_LENGTH } from '../fleet-changes.js'
import { Tenant } from './tenant.js'

const closed = { additionalProperties: false }
const { settings: _, ...withoutSettings } = Tenant.properties
export const FleetRow = Type.Object(withoutSettings, { title: 'FleetRow' })

const filter = {
  q: Type.Optional(Type.String({ maxLength: 200, description: 'A part of the id, the name or the domain.' })),
  status: Type.Optional(Type.Enum(['pending', 'ready', 'failed', 'removed'])),
  service: Type.Optional(
    Type.String({
      maxLength: 15,
      pattern: '^[a-z][a-z0-9]{0,14}$',
      description: 'The status is this service’s alone.',
    }),
  ),
  lifecycle: Type.Optional(
    Type.Enum(['active', 'suspended', 'deleted'], { description: 'Default: all that are not deleted.' }),
  ),
}

export const FleetQuery = Type.Object(
  {
    ...filter,
    sort: Type.Optional(Type.Enum([...sorts])),
    order: Type.Optional(Type.Enum(['asc', 'desc'])),
    after: Type.Optional(
      Type.String({
        maxLength: 100,
        description: 'Only ids behind this one: with `sort=id`, pages that no change shifts.',
      }),
    ),
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000_000 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  },
  closed,
)

export const FleetPage = Type.Object(
  { items: Type.Array(FleetRow), total: Type.Integer({ description: 'Of all pages.' }) },
  { title: 'FleetPage' },
)

export const FleetCounts = Type.Object(
  {
    all: Type.Integer(),
    ready: Type.Integer(),
    pending: Type.Integer(),
    failed: Type.Integer(),
    suspended: Type.Integer(),
    deleted: Type.Integer(),
    removed: Type.Integer(),
    services: Type.Array(Type.String(), { description: 'Those that a tenant needs before it is ready.' }),
  },
  { title: 'FleetCounts' },
)

export const ChangesQuery = Type.Object(
  {
    after: Type.Optional(
      Type.String({ maxLength: PLACE_LENGTH, pattern: PLACE, description: 'The `place` of the answer before.' }),
    ),
    wait: Type.Optional(Type.Integer({ minimum: 0, maximum: 25, description: 'Seconds to wait for a change.' })),
  },
  closed,
)

export const Changes = Type.Object(
  {
    place: Type.String(),
    items: Type.Array(FleetRow),
    reset: Type.Boolean({ description: 'More changed than is sent: read the list anew.' }),
  },
  { title: 'FleetChanges' },
)

export const Confirmation = Type.Object(
  { confirm: Type.String({ maxLength: 100, description: 'The tenant’s id, typed once more.' }) },
  closed,
)

export const bulkActions = ['retry', 'suspend', 'activate', 'remove'] as const

export const Bulk = Type.Object(
  {
    action: Type.Enum([...bulkActions]),
    filter: Type.Object(filter, closed),
    count: Type.Integer({ minimum: 1, description: 'The number of tenants that the filter fitted when it was shown.' }),
    confirm: Type.Optional(Type.String({ maxLength: 100, description: 'With `remove`: `remove <count>`.' })),
  },
  { title: 'BulkAction', additionalProperties: false },
)

export const BulkOutcome = Type.Object(
  {
    done: Type.Integer(),
    failed: Type.Array(Type.Object({ id: Type.String(), code: Type.String(), message: Type.String() })),
  },
  { title: 'BulkOutcome' },
)
