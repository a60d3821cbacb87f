// The checks of the cached lookups in Redis.
import { readAuthorities } from '../../plugins/distributed-tenant/config/ca-certificates.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { SEAL_BYTES } from '../../plugins/distributed-tenant/directory/entry-seal.js'
import { parseEntry } from '../../plugins/distributed-tenant/directory/redis-cache.js'
import { connectRedis } from '../../plugins/distributed-tenant/directory/redis-client.js'
import { readHistory } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { OpenService } from '../open-services.js'
import { PATIENCE_MS } from '../open-tenancy.js'
import type { Targets } from '../targets.js'
import { type Problem, problem } from './problem.js'

/** Entries of another tenant, or newer than their row: no service would have written them. The services check the seal. */
export async function cache({ tenancy }: OpenService, { redis: url }: Targets): Promise<Problem[]> {
  if (!url) return []
  const { service } = tenancy.settings
  const ca = readAuthorities('REDIS_CA_FILE', readEnvironment().REDIS_CA_FILE, url)
  const redis = connectRedis(url, 'doctor', ca, PATIENCE_MS)
  redis.on('error', () => {})
  try {
    await new Promise<void>((resolve, reject) => {
      redis.once('ready', resolve)
      setTimeout(() => reject(new Error('Redis does not answer')), PATIENCE_MS).unref()
    })
    const rows = await tenancy.fleet.central<{ id: TenantId; revision: string; incarnation: string | null }[]>`
      select id, revision, incarnation from tenants`
    const history = await readHistory(tenancy.fleet.central)
    const found: Problem[] = []
    for (let at = 0; at < rows.length; at += 500) {
      const page = rows.slice(at, at + 500)
      // One command for each key: those of a Redis Cluster are in different slots.
      const values = await Promise.all(page.map(({ id }) => redis.getBuffer(`fdt:v1:${service}:${id}`)))
      page.forEach(({ id, revision, incarnation }, index) => {
        const value = values[index]
        if (!value) return
        const key = `fdt:v1:${service}:${id}`
        const entry = parseEntry(value.subarray(SEAL_BYTES), id, { service, since: 0, history: null })
        const cure = `delete the key ${key}, and find out who wrote it`
        if (typeof entry === 'string') found.push(problem(`cached lookup ${entry}`, id, cure))
        // Of a registry that was set back or replaced: every service ignores it, and none compares its revision.
        else if (parseEntry(value.subarray(SEAL_BYTES), id, { service, since: 0, history }) === 'outdated') return
        else if (incarnation !== null && entry.incarnation !== null && entry.incarnation !== incarnation)
          found.push(problem('cached lookup of another incarnation', id, cure))
        else if (entry.revision > Number(revision)) found.push(problem('cached lookup from the future', id, cure))
      })
    }
    return found
  } finally {
    redis.disconnect()
  }
}
