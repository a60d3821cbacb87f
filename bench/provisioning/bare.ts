// The limit of cloning: CREATE DATABASE … TEMPLATE of the product's own template by a superuser on the three instances at
// once, with nothing around it. The databases made belong to no tenant.
import { serviceNames } from '../../stack/names.js'
import type { Stage } from './stage.js'

export interface BareClones {
  /** One on each instance at once. @returns milliseconds until the slowest was done */
  one(): Promise<number>
  /** @returns how often a second one was made on every instance, by so many sessions on each */
  rate(count: number, sessions: number): Promise<number>
}

export async function bareClones({ cluster }: Stage): Promise<BareClones> {
  const templates = await Promise.all(
    serviceNames.map(async service => {
      const [row] = await cluster[service]<{ name: string }[]>`
        select datname as name from pg_database where datistemplate and datname like 'template\\_%\\_%'`
      if (!row) throw new Error(`${service} has no template`)
      return { sql: cluster[service], name: row.name }
    }),
  )
  let made = 0
  const clone = async ({ sql, name }: (typeof templates)[number]): Promise<void> => {
    await sql`create database ${sql(`bare_${++made}`)} template ${sql(name)} strategy wal_log`
  }
  return {
    async one() {
      const began = performance.now()
      await Promise.all(templates.map(clone))
      return performance.now() - began
    },
    async rate(count, sessions) {
      const began = performance.now()
      await Promise.all(
        templates.map(async template => {
          let left = count
          const session = async () => {
            while (left-- > 0) await clone(template)
          }
          await Promise.all(Array.from({ length: sessions }, session))
        }),
      )
      return (count * 1000) / (performance.now() - began)
    },
  }
}
