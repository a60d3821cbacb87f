// The SQL of one tenant's passwords, in the tenant's database. Invariant: only hashes go in and out; a password
// is never in SQL.
import type { QueryClient } from '../../plugins/distributed-tenant/index.js'
import { naming } from '../../plugins/errors/index.js'
import { rowOf } from '../http/rows.js'
import type { User } from './schemas/user.js'
import { createUsers, UserExists, type UserFields, userColumns } from './users.js'

/** A user who may sign in. */
export interface Account {
  readonly id: string
  readonly role: string
  readonly passwordHash: string
}

export function createCredentials(sql: QueryClient) {
  return {
    /** The active user with this address, in any case, who has a password. */
    async find(email: string): Promise<Account | undefined> {
      const [account] = await sql<Account[]>`
        select id, role, password_hash as "passwordHash"
        from users join credentials on user_id = id
        where lower(email) = lower(${email}) and status = 'active'`
      return account
    },

    /** Sets or replaces a user's password. */
    async set(userId: string, passwordHash: string): Promise<void> {
      await sql`
        insert into credentials (user_id, password_hash) values (${userId}, ${passwordHash})
        on conflict (user_id) do update set password_hash = excluded.password_hash, changed_at = now()`
    },

    /** Stores the same password in a newer form; a password that was changed meanwhile stays. */
    async renew(userId: string, from: string, to: string): Promise<void> {
      await sql`update credentials set password_hash = ${to} where user_id = ${userId} and password_hash = ${from}`
    },

    /** A user with a password, in one statement. @throws USER_EXISTS */
    async create(user: UserFields, passwordHash: string): Promise<User> {
      const [made] = await naming(
        { users_email_key: UserExists },
        sql<{ id: string }[]>`
          with made as (insert into users ${sql(rowOf(userColumns, user))} returning id)
          insert into credentials (user_id, password_hash) select id, ${passwordHash} from made returning user_id as id`,
      )
      return createUsers(sql).read((made as { id: string }).id)
    },
  }
}
