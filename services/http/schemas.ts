// The JSON schemas that every service shares: the error shape, identifiers, times, texts and pages.
// Invariant: a text that PostgreSQL cannot store is refused, so bad input is a 400 here and never a 500 below.
import type { Static, TSchema } from 'typebox'
import { Type } from '../../events/json-schema.js'

/** Not only blanks, and without NUL and lone surrogates. Linear: no two loops may share a character. */
const TEXT = '^(?!\\s*$)[^\\u0000\\p{Cs}]*$'
const UUID = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'

export const text = (maxLength: number, description?: string) =>
  Type.String({ minLength: 1, maxLength, pattern: TEXT, ...described(description) })

export const nullableText = (maxLength: number, description?: string) =>
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    minLength: 1,
    maxLength,
    pattern: TEXT,
    ...described(description),
  })

export const email = Type.String({ format: 'email', maxLength: 254, pattern: TEXT })

// The format `uuid` lets `urn:uuid:` through, which PostgreSQL refuses.
export const uuid = Type.String({ maxLength: 36, pattern: UUID })
export const nullableUuid = Type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 36, pattern: UUID })

/** A calendar day, `YYYY-MM-DD`, of a year with four digits. */
export const day = Type.String({ format: 'date', maxLength: 10, pattern: '^[12][0-9]{3}-' })

/** A moment: a `Date` in a row, an ISO string in the answer. */
export const timestamp = Type.Unsafe<Date>({ type: 'string', format: 'date-time' })
export const nullableTimestamp = Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' })

export const ErrorBody = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String({ description: 'Stable: what a program may decide on.' }),
    error: Type.String({ description: 'The name of the status.' }),
    message: Type.String({ description: 'The failure, then the cure.' }),
  },
  { title: 'Error', additionalProperties: false },
)

const titles: Readonly<Record<number, string>> = {
  400: 'Malformed request',
  401: 'No or wrong credential',
  403: 'Refused for this tenant or this role',
  404: 'Not found',
  409: 'In conflict with what there is',
  413: 'Body too large',
  415: 'Unsupported media type',
  422: 'Well-formed, but cannot be done',
  429: 'Too often: see Retry-After',
  500: 'The service failed',
  503: 'Not now: see Retry-After',
  504: 'The database took too long',
}

type Errors<Status extends number> = { [S in Status]: typeof ErrorBody }

/** The error answers of a route, by status. Every route has 500 and 503. */
export function errors<Status extends number>(...statuses: Status[]): Errors<Status | 500 | 503> {
  const entries = [...statuses, 500, 503].map(status => [status, { ...ErrorBody, description: titles[status] }])
  return Object.fromEntries(entries) as Errors<Status | 500 | 503>
}

/** The error answers of a route that works on a tenant. */
export const tenantErrors = <Status extends number = never>(...statuses: Status[]) =>
  errors<Status | 400 | 401 | 403 | 404 | 429 | 504>(400, 401, 403, 404, 429, 504, ...statuses)

/** Paging of every list: at most `limit` items behind `after`, which is the `next` of the page before. */
export const page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
  after: Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description: 'The `next` of the page before.' })),
}

export const pageOf = <Item extends TSchema>(item: Item) =>
  Type.Object({
    items: Type.Array(item),
    next: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'Send it as `after` for the next page; null on the last one.',
    }),
  })

export interface Page<Item> {
  items: Item[]
  next: string | null
}

export const idParams = Type.Object({ id: uuid }, { additionalProperties: false })
export type IdParams = Static<typeof idParams>

/** 204, as a schema for the answer. */
export const nothing = Type.Null({ description: 'Done; no body.' })

const described = (description: string | undefined) => (description === undefined ? {} : { description })
