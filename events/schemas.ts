// The shapes of both message bodies. A refusal shows each field's `description` as it is.
// Invariant: unknown fields are allowed (a newer identity may send more); readers of a body copy known fields only.
// Depends on nothing outside the process.
import type { Static } from 'typebox'
import { Type } from './json-schema.js'
import { SERVICE_PATTERN } from './subjects.js'
import { TENANT_ID_MAX, TENANT_ID_PATTERN } from './tenant-id.js'
import { compileValidator } from './validator.js'

/** Longest `settings` in bytes of its JSON text. */
export const MAX_SETTINGS_BYTES = 64 * 1024

// The last label starts with a letter, so that an IPv4 address is no domain. Linear time: labels are split by dots.
const DOMAIN_PATTERN = '^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$'
const INSTANT_PATTERN = '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?(?:Z|[+-]\\d\\d:\\d\\d)$'

const Id = Type.String({
  pattern: TENANT_ID_PATTERN,
  maxLength: TENANT_ID_MAX,
  description: 'must be 1 to 40 characters of a-z, 0-9 and single hyphens, with a letter or digit at both ends',
})
const Version = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'must be an integer of at least 1',
})
const Instant = Type.String({
  pattern: INSTANT_PATTERN,
  maxLength: 35,
  description: 'must be an ISO 8601 instant with a zone',
})
const Incarnation = Type.String({
  pattern: '^[0-9a-f]{32}$',
  maxLength: 32,
  description: 'must be 32 characters of 0-9 and a-f',
})
const Step = Type.String({ minLength: 1, maxLength: 64, description: 'must be a string of 1 to 64 characters' })

export const LifecycleBody = Type.Object({
  id: Id,
  version: Type.Optional(Version),
  name: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '\\S',
      description: 'must be a string of 1 to 200 characters, not all of them blank',
    }),
  ),
  domain: Type.Optional(
    Type.Union([Type.Null(), Type.String({ pattern: DOMAIN_PATTERN, maxLength: 253 })], {
      description: 'must be null or a lower-case ASCII host name with at least one dot',
    }),
  ),
  is_active: Type.Optional(Type.Boolean({ description: 'must be true or false' })),
  settings: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'must be an object' })),
  incarnation: Type.Optional(Incarnation),
  actor: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: 'must be a string of 1 to 200 characters' }),
  ),
})

export const StatusBody = Type.Object({
  id: Id,
  service: Type.String({
    pattern: SERVICE_PATTERN,
    maxLength: 15,
    description: 'must be a service name such as employee',
  }),
  version: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'must be an integer of at least 0 (0: made from a request that identity has not numbered yet)',
  }),
  revision: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'must be an integer of at least 0 (how often its service has changed this tenant)',
  }),
  incarnation: Type.Optional(Incarnation),
  status: Type.Union([Type.Literal('ready'), Type.Literal('failed'), Type.Literal('removed')], {
    description: 'must be ready, failed or removed',
  }),
  step: Type.Optional(Step),
  attempts: Type.Optional(
    Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'must be an integer of at least 0' }),
  ),
  foreign: Type.Optional(Type.Boolean({ description: 'must be true or false' })),
  repeated: Type.Optional(Type.Boolean({ description: 'must be true or false' })),
  error: Type.Optional(Type.String({ maxLength: 2000, description: 'must be a string of at most 2000 characters' })),
  nextTryAt: Type.Optional(Instant),
  steps: Type.Optional(
    Type.Array(Type.Object({ step: Step, at: Instant }), {
      maxItems: 100,
      description: 'must be a list of at most 100 { step, at }',
    }),
  ),
  schemaVersion: Type.Optional(
    Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'must be an integer of at least 0' }),
  ),
  at: Instant,
})

export type LifecycleBody = Static<typeof LifecycleBody>
export type StatusBody = Static<typeof StatusBody>

export const lifecycleBody = compileValidator(LifecycleBody)
export const statusBody = compileValidator(StatusBody)
