// The routes of /api/users. Every user of the tenant may read, only its admins may change: a user who may set roles could
// become an admin.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { crudRoutes } from '../../http/crud-routes.js'
import { createCredentials } from '../credentials.js'
import type { Passwords } from '../passwords.js'
import { NewUser, User, UserPatch, UserQuery } from '../schemas/user.js'
import { callerOf } from '../turns.js'
import { createUsers } from '../users.js'

export const userRoutes: FastifyPluginAsyncTypebox<{ passwords: Passwords }> = async (app, { passwords }) => {
  await app.register(
    crudRoutes({
      name: 'users',
      one: 'a user',
      listed: 'users, by e-mail address',
      schemas: { item: User, created: NewUser, patch: UserPatch, query: UserQuery },
      repository: request => usersWithPasswords(request, passwords),
      writers: ['admin'],
    }),
  )
}

/** The users of a tenant, whose passwords are hashed in the caller's turn before a connection is taken. */
function usersWithPasswords(request: FastifyRequest, passwords: Passwords) {
  const { sql } = request
  const users = createUsers(sql)
  const hashOf = (password: string): Promise<string> => passwords.hash(password, callerOf(request))
  return {
    list: users.list,
    read: users.read,
    remove: users.remove,
    async create({ password, ...fields }: NewUser) {
      if (password === undefined) return users.create(fields)
      return createCredentials(sql).create(fields, await hashOf(password))
    },
    async change(id: string, { password, ...fields }: UserPatch) {
      if (password === undefined) return users.change(id, fields)
      const hash = await hashOf(password)
      return sql.begin(async tx => {
        const inside = createUsers(tx)
        const named = Object.keys(fields).length > 0
        const user = await (named ? inside.change(id, fields) : inside.read(id))
        await createCredentials(tx).set(user.id, hash)
        return user
      })
    },
  }
}
