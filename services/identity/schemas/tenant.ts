// The JSON schemas of tenants in the admin API. Ids are checked by the tenant plugin, which has codes for them.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import type { JsonObject } from '../../../plugins/distributed-tenant/index.js'
import { nullableText, nullableTimestamp, page, text, timestamp } from '../../http/schemas.js'
import { FirstUser } from './credentials.js'

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const id = (description: string) => Type.String({ description, maxLength: 1000 })
const grammar = '1 to 40 of a-z, 0-9 and single inner hyphens'

const domain = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  maxLength: 253,
  // The last label begins with a letter: an IP address is no domain.
  pattern: `^(${LABEL}\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`,
  description: 'A host name in lower-case ASCII, like acme.hrms.example.com; null for none.',
})

const settings = Type.Unsafe<JsonObject>({
  type: 'object',
  additionalProperties: true,
  description: 'Yours; handed to every service. A change replaces it as a whole.',
})

const lifecycle = Type.Enum(['active', 'suspended', 'deleted'])

export const ServiceState = Type.Object(
  {
    status: Type.Enum(['pending', 'provisioning', 'ready', 'failed', 'foreign', 'removed']),
    step: nullableText(200),
    steps: Type.Array(Type.Object({ step: Type.String(), at: Type.String() })),
    attempts: Type.Integer(),
    lastError: nullableText(2000),
    nextTryAt: nullableTimestamp,
    updatedAt: nullableTimestamp,
    readyAt: nullableTimestamp,
  },
  { title: 'ServiceState' },
)

export const Tenant = Type.Object(
  {
    id: id(grammar),
    name: Type.String(),
    domain,
    settings,
    lifecycle,
    version: Type.Integer({ description: 'Raised at every change.' }),
    status: Type.Enum(['pending', 'ready', 'failed', 'removed'], {
      description: 'Of all required services together.',
    }),
    services: Type.Record(Type.String(), ServiceState),
    createdAt: timestamp,
    updatedAt: timestamp,
    deletedAt: nullableTimestamp,
    purgeAfter: Type.Unsafe<Date | null>({
      type: ['string', 'null'],
      format: 'date-time',
      description: 'From when the databases of a deleted tenant may be dropped.',
    }),
  },
  { title: 'Tenant' },
)

export const NewTenant = Type.Object(
  {
    id: Type.Optional(id(`${grammar}; made from the name when left out`)),
    name: text(200),
    domain: Type.Optional(domain),
    settings: Type.Optional(settings),
    lifecycle: Type.Optional(
      Type.Enum(['active', 'suspended'], {
        description: 'Default: active. A suspended one is made in every service, and served once it is activated.',
      }),
    ),
    incarnation: Type.Optional(
      Type.String({
        maxLength: 32,
        pattern: '^[0-9a-f]{32}$',
        description:
          'Only for a tenant that the services have and identity has lost: theirs, as `distributed-tenant doctor` names it. Otherwise it is drawn.',
      }),
    ),
    admin: Type.Optional(FirstUser),
  },
  { title: 'NewTenant', additionalProperties: false },
)

export const TenantPatch = Type.Object(
  { name: Type.Optional(text(200)), domain: Type.Optional(domain), settings: Type.Optional(settings) },
  { title: 'TenantPatch', additionalProperties: false, minProperties: 1 },
)

export const TenantRestoration = Type.Object(
  {
    lifecycle: Type.Optional(Type.Enum(['active', 'suspended'], { description: 'Default: active.' })),
    domain: Type.Optional(Type.Null({ description: 'Come back without the domain, which may be another’s by now.' })),
    databases: Type.Optional(
      Type.Literal('restored', { description: 'Those that were dropped have been put back from an archive.' }),
    ),
  },
  { title: 'TenantRestoration', additionalProperties: false },
)

export const TenantQuery = Type.Object(
  { ...page, lifecycle: Type.Optional(lifecycle) },
  { additionalProperties: false },
)

export const TenantParams = Type.Object({ id: id(grammar) }, { additionalProperties: false })

/** `lifecycle=deleted` shows a deleted tenant too: its row is the proof of the deletion. */
export const TenantReadQuery = Type.Object(
  { lifecycle: Type.Optional(Type.Literal('deleted', { description: 'Shows it also when it is deleted.' })) },
  { additionalProperties: false },
)

export type Tenant = Static<typeof Tenant>
