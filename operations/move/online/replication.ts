// The objects of one direction of replication: publication, slots, login and subscription. Each is made and dropped by its
// own statement, and both can be repeated. Invariant: no password of the service's or the administrator's stands in a
// subscription; the login it has is made for the run, may read no table, and is dropped with it.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { QueryClient, SessionClient } from '../../../plugins/distributed-tenant/types.js'
import type { Instance } from '../../copying/external-instance.js'
import { randomRolePassword, verifierOf } from '../../init/role-password.js'
import type { Administrator } from './administrator.js'
import type { Identity, Link } from './link.js'
import type { CarriedTable } from './tables.js'

const LOCK_MS = 2_000
const TRIES = 15
const ENDS_WITHIN_MS = 15_000

export interface Replication {
  /** The publication of all tables, and how their rows are identified. */
  publish(link: Link, tables: readonly CarriedTable[], identities: readonly Identity[]): Promise<void>
  /** The slot for the comparison; from here on no change is missed. */
  makeSlot(link: Link, slot: string): Promise<void>
  /**
   * The subscription, which does not run yet, and its login. Without `disable_on_error`: a lost connection counts as an error too,
   * and would end the following for good (PostgreSQL 15 to 17, findings/subscription-disabled-by-lost-connection.sh).
   */
  subscribe(link: Link): Promise<void>
  start(link: Link): Promise<void>
  /** Drops the slots and the login, and the subscription; where one side cannot be reached, that of the other. What is not there is fine. */
  drop(link: Link): Promise<void>
  dropSubscription(link: Link): Promise<void>
  dropAtSource(link: Link): Promise<void>
  /** Drops the publication and sets back what the tables had before. */
  unpublish(link: Link, at: Link['from'], identities: readonly Identity[]): Promise<void>
}

/** @param placeOf an instance, by the login that owns the tables there */
export function createReplication(placeOf: (instance: string) => Instance, admin: Administrator): Replication {
  /** As the owner of the tables. */
  const inside = <T>({ instance, database }: Link['from'], fn: (sql: SessionClient) => Promise<T>): Promise<T> =>
    placeOf(instance).withDirectConnection(fn, database)

  async function setIdentity(sql: SessionClient, table: string, clause: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await sql.begin(async tx => {
          await tx.unsafe(`set local lock_timeout = ${LOCK_MS}`)
          await tx.unsafe(`alter table ${table} replica identity ${clause}`)
        })
        return
      } catch (error) {
        const { code } = error as { code?: string }
        // The table was dropped by its tenant’s migration.
        if (code === '42P01') return
        if (code !== '55P03' || tries >= TRIES) throw error
      }
    }
  }

  async function dropSlot(sql: QueryClient, slot: string): Promise<void> {
    const until = performance.now() + ENDS_WITHIN_MS
    for (;;) {
      const [found] = await sql<{ pid: number | null }[]>`
        select active_pid as pid from pg_replication_slots where slot_name = ${slot}`
      if (!found) return
      if (found.pid === null) {
        try {
          await sql`select pg_drop_replication_slot(${slot})`
          return
        } catch (error) {
          // Taken again in between (55006), or dropped by another (42704).
          if (!/^(55006|42704)$/.test((error as { code?: string }).code ?? '')) throw error
        }
      } else await sql`select pg_terminate_backend(${found.pid})`
      if (performance.now() > until) {
        throw new TransferFailed(
          `The replication slot ${slot} is in use and cannot be dropped: \`doctor --fix\` drops it.`,
        )
      }
      await sleep(20)
    }
  }

  async function dropSubscription({ to, subscription }: Link): Promise<void> {
    const found = await admin.at(
      to.instance,
      sql => sql`select from pg_subscription join pg_database d on d.oid = subdbid
        where subname = ${subscription} and datname = ${to.database}`,
    )
    if (found.length === 0) return
    await admin.at(
      to.instance,
      async sql => {
        await sql.unsafe(`alter subscription ${subscription} disable`)
        await sql.unsafe(`alter subscription ${subscription} set (slot_name = none)`)
        await sql.unsafe(`drop subscription ${subscription}`)
      },
      to.database,
    )
  }

  const dropAtSource = ({ from, slot, checkSlot, role }: Link): Promise<void> =>
    admin.at(from.instance, async sql => {
      // What they keep beyond max_wal_size goes with a checkpoint: it does not wait for the server's next one, on a disk that is full perhaps.
      const beyond = await sql`
        select from pg_replication_slots where slot_name in (${slot}, ${checkSlot}) and wal_status in ('extended', 'unreserved')`
      for (const one of [slot, checkSlot]) await dropSlot(sql, one)
      await dropRole(sql, role)
      if (beyond.length > 0) await sql`checkpoint`
    })

  return {
    async publish({ from, publication }, tables, identities) {
      await inside(from, async sql => {
        for (const { table, during } of identities) await setIdentity(sql, table, during)
        const list = tables.length > 0 ? ` for table ${tables.map(({ name }) => `only ${name}`).join(', ')}` : ''
        for (let tries = 1; ; tries++) {
          try {
            await sql.begin(async tx => {
              await tx`drop publication if exists ${tx(publication)}`
              await tx.unsafe(`create publication ${publication}${list}`)
            })
            return
          } catch (error) {
            // It locks one table after the other, and another transaction in its own order.
            if ((error as { code?: string }).code !== '40P01' || tries >= TRIES) throw error
          }
        }
      })
    },
    makeSlot: ({ from }, slot) =>
      admin.at(
        from.instance,
        async sql => void (await sql`select pg_create_logical_replication_slot(${slot}, 'pgoutput')`),
        from.database,
      ),
    async subscribe({ from, to, role, slot, subscription, publication }) {
      const password = randomRolePassword()
      await admin.at(from.instance, async sql => {
        await dropRole(sql, role)
        await sql.unsafe(`create role ${role} login replication connection limit 4 password '${verifierOf(password)}'`)
        await sql`grant connect on database ${sql(from.database)} to ${sql(role)}`
      })
      const { host, port, ssl, servers = [{ host, port }] } = placeOf(from.instance).address
      const info = Object.entries({
        host: servers.map(server => server.host).join(','),
        port: servers.map(server => server.port).join(','),
        // Of several servers the primary has the slot.
        ...(servers.length > 1 ? { target_session_attrs: 'read-write' } : {}),
        user: role,
        password,
        dbname: from.database,
        // The file with the certificate is not on that server.
        sslmode: ssl === 'verify-full' ? 'require' : ssl,
        application_name: subscription,
        connect_timeout: 10,
      })
        .map(([key, value]) => `${key}='${String(value).replace(/['\\]/g, '\\$&')}'`)
        .join(' ')
      await admin.at(
        to.instance,
        async sql => {
          // The statement holds the password of the run's login: it is kept out of the server's log and its statistics.
          await sql.begin(async tx => {
            await tx.unsafe(
              `set local log_statement = 'none'; set local log_min_error_statement = 'panic'; set local log_min_duration_statement = -1;
               set local pg_stat_statements.track = 'none'; set local pg_stat_statements.track_utility = off`,
            )
            const [row] = await tx<{ statement: string }[]>`
              select format('create subscription %I connection %L publication %I with (slot_name = %L, create_slot = false,
                enabled = false, copy_data = false, streaming = false, synchronous_commit = off)',
                ${subscription}::text, ${info}::text, ${publication}::text, ${slot}::text) as statement`
            await tx.unsafe((row as { statement: string }).statement)
          })
        },
        to.database,
      )
    },
    start: ({ to, subscription }) =>
      admin.at(
        to.instance,
        async sql => void (await sql.unsafe(`alter subscription ${subscription} enable`)),
        to.database,
      ),
    async drop(link) {
      // A slot that stays keeps its server's log: it does not wait for the other instance.
      const early = await dropAtSource(link).catch((error: Error) => error)
      const late = await dropSubscription(link).catch((error: Error) => error)
      // In use until the subscription was dropped, perhaps.
      if (early) await dropAtSource(link)
      if (late) throw late
    },
    dropSubscription,
    dropAtSource,
    async unpublish({ publication }, at, identities) {
      await admin.at(
        at.instance,
        async sql => {
          await sql.unsafe(`drop publication if exists ${publication}`)
          for (const { table, before } of identities) await setIdentity(sql, table, before)
        },
        at.database,
      )
    },
  }
}

export async function dropRole(sql: SessionClient, role: string): Promise<void> {
  const [found] = await sql`select from pg_roles where rolname = ${role}`
  if (!found) return
  const granted = await sql<{ name: string }[]>`
    select distinct datname as name from pg_database, aclexplode(datacl)
    where grantee = (select oid from pg_roles where rolname = ${role})`
  for (const { name } of granted) await sql`revoke all on database ${sql(name)} from ${sql(role)}`
  await sql`drop role ${sql(role)}`
}
