// The SQL of one tenant's users. Lists are in the order of the e-mail address, which is
// unique whatever its upper and lower case.
import { createError } from '@fastify/error'
import type { QueryClient } from '../../plugins/distributed-tenant/index.js'
import { naming } from '../../plugins/errors/index.js'
import { anyText, DEFAULT_LIMIT, decodeCursor, paged } from '../http/paging.js'
import { type Columns, rowOf } from '../http/rows.js'
import type { Page } from '../http/schemas.js'
import type { NewUser, User, UserPatch, UserQuery } from './schemas/user.js'

export const UserNotFound = createError('USER_NOT_FOUND', 'No such user: check the id.', 404)
export const UserExists = createError(
  'USER_EXISTS',
  'A user has this e-mail address already: change that one, or choose another.',
  409,
)

const constraints = { users_email_key: UserExists }

/** Without the password, which is kept elsewhere: see credentials.ts. */
export type UserFields = Omit<NewUser, 'password'>
type UserChanges = Omit<UserPatch, 'password'>

export const userColumns: Columns<Required<UserFields>> = {
  email: 'email',
  displayName: 'display_name',
  role: 'role',
  status: 'status',
}

export function createUsers(sql: QueryClient) {
  const fields = sql`
    id, email, display_name as "displayName", role, status, created_at as "createdAt", updated_at as "updatedAt"`

  return {
    /** @throws CURSOR_INVALID */
    async list({ limit = DEFAULT_LIMIT, after, status }: UserQuery): Promise<Page<User>> {
      const key = decodeCursor(after, [anyText])
      const rows = await sql<(User & { key: string })[]>`
        select ${fields}, lower(email) as key from users
        where true
        ${key ? sql`and lower(email) > ${key[0] as string}` : sql``}
        ${status ? sql`and status = ${status}` : sql``}
        order by lower(email) limit ${limit + 1}`
      return paged(rows, limit, user => [user.key])
    },

    /** @throws USER_EXISTS */
    async create(user: UserFields): Promise<User> {
      const [created] = await naming(
        constraints,
        sql<[User]>`insert into users ${sql(rowOf(userColumns, user))} returning ${fields}`,
      )
      return created
    },

    /** @throws USER_NOT_FOUND */
    async read(id: string): Promise<User> {
      const [user] = await sql<User[]>`select ${fields} from users where id = ${id}`
      if (!user) throw new UserNotFound()
      return user
    },

    /** Changes the fields of `patch`. @throws USER_NOT_FOUND, USER_EXISTS */
    async change(id: string, patch: UserChanges): Promise<User> {
      const [user] = await naming(
        constraints,
        sql<User[]>`
          update users set ${sql(rowOf(userColumns, patch))}, updated_at = now() where id = ${id} returning ${fields}`,
      )
      if (!user) throw new UserNotFound()
      return user
    },

    /** @throws USER_NOT_FOUND */
    async remove(id: string): Promise<void> {
      const { count } = await sql`delete from users where id = ${id}`
      if (count === 0) throw new UserNotFound()
    },
  }
}
