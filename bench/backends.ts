// The server's own count: client backends in tenant databases, sampled twenty times a second, the most of each
// login; the plugin's tenants each have their own and count as the service's. A budget that is kept in the plugin's own
// counts only would show here.
import type { Fleet } from './fleet.js'

export interface BackendWatch {
  /** The most there were at once, by login, since the start. */
  readonly peaks: ReadonlyMap<string, number>
  readonly samples: number
  stop(): Promise<void>
}

const EVERY_MS = 50

export function watchBackends({ superuser, ours }: Pick<Fleet, 'superuser' | 'ours'>): BackendWatch {
  const peaks = new Map<string, number>()
  let samples = 0
  let over = false

  async function look(): Promise<void> {
    const rows = await superuser<{ login: string; count: number }[]>`
      select case when usename like 'tenant\\_%' then ${ours.user} else usename end as login, count(*)::int as count from pg_stat_activity
      where backend_type = 'client backend' and datname like 'tenant\\_%' group by 1`
    samples++
    for (const { login, count } of rows) peaks.set(login, Math.max(count, peaks.get(login) ?? 0))
  }

  const watching = (async () => {
    while (!over) {
      const next = new Promise(resolve => setTimeout(resolve, EVERY_MS))
      // A server that is down fails its users; here it costs a sample.
      await look().catch(() => {})
      await next
    }
  })()

  return {
    peaks,
    get samples() {
      return samples
    },
    async stop() {
      over = true
      await watching
    },
  }
}
