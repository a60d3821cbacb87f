// The settings of a source's database that an import copies, and the line that sets each of the others: those of roles, those that
// superusers alone may set, and a style of dates that the driver cannot read. Reads only.
import { type DatabaseSetting, settingStatement } from '../../plugins/distributed-tenant/databases/database-settings.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import { type Obstacle, warn } from './obstacle.js'

/** The freeze sets it, so that its value in a copy would be the freeze's. */
const OF_THE_FREEZE = 'default_transaction_read_only'

/** The driver reads dates in the style ISO alone, and takes others for other dates (findings/postgres-output-settings.sh). */
const isUnreadable = ({ name, value }: DatabaseSetting): boolean =>
  name.toLowerCase() === 'datestyle' && !/\biso\b/i.test(value)

/** With the order in which dates are written: `SQL, DMY` is `ISO, DMY`. */
const readable = (setting: DatabaseSetting): DatabaseSetting => {
  const [, order = ''] = /\b(dmy|mdy|ymd)\b/i.exec(setting.value) ?? []
  return { ...setting, value: order ? `ISO, ${order.toUpperCase()}` : 'ISO' }
}

/** Those that the service's role sets in the copy. @param sql at the target */
export async function copiedSettings(
  sql: QueryClient,
  settings: readonly DatabaseSetting[],
): Promise<DatabaseSetting[]> {
  const free = await freeSettings(sql)
  return settings.filter(
    setting =>
      setting.role === null && setting.name !== OF_THE_FREEZE && free.has(setting.name) && !isUnreadable(setting),
  )
}

/** @param sql at the target. @param databases the source's name, and the copy's */
export async function settingsLeftOut(
  sql: QueryClient,
  settings: readonly DatabaseSetting[],
  { databases: [from, to], service }: { databases: readonly [from: string, to: string]; service: string },
): Promise<Obstacle[]> {
  const copied = new Set(await copiedSettings(sql, settings))
  const found: Obstacle[] = []
  for (const setting of settings) {
    if (copied.has(setting)) continue
    const { role, name } = setting
    // Applications keep secrets in settings of their own, and a plan is kept in logs.
    const hidden = name.includes('.')
    const unreadable = isUnreadable(setting)
    const written = unreadable ? readable(setting) : setting
    const statement = await settingStatement(sql, to, hidden ? { ...setting, value: '…' } : written)
    const whose = role === null ? '' : ` of the role ${role}`
    const value = hidden ? ' with the value that the source has' : ''
    const cure = `after the import run \`${statement}\`${value} as a superuser at ${service}’s instance`
    const first = role === null ? '' : ', once the role is there'
    const why = unreadable ? `, a style in which the driver reads other dates` : ''
    found.push(warn(from, `has the setting ${name}${whose}, which is not copied${why}: ${cure}${first}`))
  }
  return found
}

/** Settings that any role may set for its database; of names that the server does not know, superusers alone may. */
async function freeSettings(sql: QueryClient): Promise<ReadonlySet<string>> {
  const rows = await sql<{ name: string }[]>`select name from pg_settings where context = 'user'`
  return new Set(rows.map(({ name }) => name))
}
