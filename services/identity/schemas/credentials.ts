// The JSON schemas of signing in. A password is only ever in a request's body.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import { email, text } from '../../http/schemas.js'

const MESSAGE = '12 to 200 characters; length counts more than symbols.'

/** For a password that is being chosen. */
export const newPassword = Type.String({ minLength: 12, maxLength: 200, description: MESSAGE })

/** The first user of a tenant, as the operator sends it. */
export const FirstUser = Type.Object(
  { email, password: newPassword, displayName: Type.Optional(text(200)) },
  { title: 'FirstUser', additionalProperties: false },
)

export const Login = Type.Object(
  { email: Type.String({ minLength: 1, maxLength: 254 }), password: Type.String({ minLength: 1, maxLength: 200 }) },
  { title: 'Login', additionalProperties: false },
)

export const Token = Type.Object(
  {
    token: Type.String({ description: 'Send it as `Authorization: Bearer <token>`.' }),
    tokenType: Type.Literal('Bearer'),
    expiresIn: Type.Integer({ description: 'Seconds.' }),
  },
  { title: 'Token' },
)

export const KeySetBody = Type.Object(
  { keys: Type.Array(Type.Record(Type.String(), Type.String())) },
  { title: 'KeySet', description: 'RFC 7517.' },
)

export type FirstUser = Static<typeof FirstUser>
export type Login = Static<typeof Login>
