// Whether a server's settings allow moves without a freeze, before any is wanted: a change of them needs a restart. Any login may read
// them. A move's plan (preflight.ts) looks again, at what is free at that moment.

import type { QueryClient } from '../../../plugins/distributed-tenant/types.js'

/** PostgreSQL 19 raises the level by itself when the first logical slot is made. */
export const RAISES_WAL_LEVEL = 19
/** Of a move two at the source; of its way back two at the target. */
export const SLOTS_OF_A_MOVE = 2
const SENDERS_OF_A_MOVE = 1

interface Found {
  readonly major: number
  readonly walLevel: string
  readonly maxSlots: number
  readonly usedSlots: number
  readonly maxSenders: number
  readonly usedSenders: number
}

/** @returns a sentence for each setting that is in the way, with the statement that cures it */
export async function settingsInTheWay(sql: QueryClient): Promise<string[]> {
  const [found] = await sql<Found[]>`
    select current_setting('server_version_num')::int / 10000 as major, current_setting('wal_level') as "walLevel",
      current_setting('max_replication_slots')::int as "maxSlots",
      (select count(*)::int from pg_replication_slots where not starts_with(slot_name, 'fdt_move_')) as "usedSlots",
      current_setting('max_wal_senders')::int as "maxSenders",
      (select count(*)::int from pg_stat_replication where not starts_with(application_name, 'fdt_move_')) as "usedSenders"`
  const { major, walLevel, maxSlots, usedSlots, maxSenders, usedSenders } = found as Found
  const sentences: string[] = []
  const set = (name: string, value: string | number): string =>
    `\`alter system set ${name} = ${value}\`, and restart it`
  if (walLevel !== 'logical' && major < RAISES_WAL_LEVEL) {
    sentences.push(`wal_level = ${walLevel}: ${set('wal_level', 'logical')}`)
  }
  if (maxSlots - usedSlots < SLOTS_OF_A_MOVE) {
    const enough = Math.max(10, usedSlots + 2 * SLOTS_OF_A_MOVE)
    sentences.push(
      `max_replication_slots = ${maxSlots}, of which others use ${usedSlots}, and a move takes ${SLOTS_OF_A_MOVE}: ${set('max_replication_slots', enough)}`,
    )
  }
  if (maxSenders - usedSenders < SENDERS_OF_A_MOVE) {
    const enough = Math.max(10, usedSenders + 2 * SENDERS_OF_A_MOVE)
    sentences.push(
      `max_wal_senders = ${maxSenders}, of which others use ${usedSenders}, and a move takes ${SENDERS_OF_A_MOVE}: ${set('max_wal_senders', enough)}`,
    )
  }
  return sentences
}
