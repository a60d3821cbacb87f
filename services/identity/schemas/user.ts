// The JSON schemas of a tenant's users.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import { email, page, text, timestamp, uuid } from '../../http/schemas.js'
import { newPassword } from './credentials.js'

const role = Type.Enum(['admin', 'manager', 'member'])
const status = Type.Enum(['active', 'disabled'])

export const User = Type.Object(
  { id: uuid, email, displayName: text(200), role, status, createdAt: timestamp, updatedAt: timestamp },
  { title: 'User' },
)

export const NewUser = Type.Object(
  {
    email,
    displayName: text(200),
    role: Type.Optional(role),
    status: Type.Optional(status),
    password: Type.Optional(newPassword),
  },
  { title: 'NewUser', additionalProperties: false },
)

export const UserPatch = Type.Object(
  {
    email: Type.Optional(email),
    displayName: Type.Optional(text(200)),
    role: Type.Optional(role),
    status: Type.Optional(status),
    password: Type.Optional(newPassword),
  },
  { title: 'UserPatch', additionalProperties: false, minProperties: 1 },
)

export const UserQuery = Type.Object({ ...page, status: Type.Optional(status) }, { additionalProperties: false })

export type User = Static<typeof User>
export type NewUser = Static<typeof NewUser>
export type UserPatch = Static<typeof UserPatch>
export type UserQuery = Static<typeof UserQuery>
