// Rival: an LRU map of small pools under a gate of the same budget, as a careful user writes it. A statement has a
// connection to itself; when the budget is spent, an idle connection of the tenant used longest ago makes room.
// Invariant: connections never exceed the budget, counted until their end. Waits two seconds, then answers 503.
import Fastify from 'fastify'
import pg from 'pg'
import { type Arm, type ArmConfig, databaseOf } from '../arm.js'
import { addPgRoutes } from './pg-routes.js'
import { tenantOf } from './tenant-of.js'

const PATIENCE_MS = 2_000
const PER_TENANT = 10

interface TenantPool {
  readonly tenant: string
  readonly idle: pg.Client[]
  size: number
}

interface Waiter {
  readonly pool: TenantPool
  readonly timer: NodeJS.Timeout
  readonly resolve: (client: pg.Client) => void
  readonly reject: (error: Error) => void
}

export function make({ login, service, tenants, budget }: ArmConfig): Arm {
  const app = Fastify()
  const known = new Set(tenants)
  /** The tenant used longest ago first. */
  const pools = new Map<string, TenantPool>()
  const waiters = new Set<Waiter>()
  let open = 0
  let closing = 0

  function touch(tenant: string): TenantPool {
    const pool = pools.get(tenant) ?? { tenant, idle: [], size: 0 }
    pools.delete(tenant)
    pools.set(tenant, pool)
    return pool
  }

  /** Serves as many waiters as it can, in the order they came. */
  function serve(): void {
    let promised = closing
    for (const waiter of waiters) {
      const { pool } = waiter
      const client = pool.idle.pop()
      if (client) {
        leave(waiter)
        waiter.resolve(client)
      } else if (pool.size >= PER_TENANT) {
        // Its own connections come back.
      } else if (open < budget) {
        leave(waiter)
        connect(pool).then(waiter.resolve, waiter.reject)
      } else if (promised > 0) {
        promised--
      } else {
        closeColdest(pool)
      }
    }
  }

  function leave(waiter: Waiter): void {
    clearTimeout(waiter.timer)
    waiters.delete(waiter)
  }

  async function connect(pool: TenantPool): Promise<pg.Client> {
    open++
    pool.size++
    const client = new pg.Client({ ...login, database: databaseOf(pool.tenant, service) })
    client.on('error', () => {})
    client.once('end', () => {
      open--
      pool.size--
      const at = pool.idle.indexOf(client)
      if (at >= 0) pool.idle.splice(at, 1)
      serve()
    })
    await client.connect()
    return client
  }

  function closeColdest(except: TenantPool): void {
    for (const pool of pools.values()) {
      if (pool === except) continue
      const client = pool.idle.pop()
      if (!client) continue
      closing++
      client.once('end', () => closing--)
      void client.end()
      return
    }
  }

  function acquire(tenant: string): Promise<pg.Client> {
    const pool = touch(tenant)
    const idle = pool.idle.pop()
    if (idle) return Promise.resolve(idle)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiters.delete(waiter)
        reject(Object.assign(new Error('no connection in time'), { statusCode: 503 }))
      }, PATIENCE_MS)
      const waiter: Waiter = { pool, timer, resolve, reject }
      waiters.add(waiter)
      serve()
    })
  }

  async function lend<T>(tenant: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await acquire(tenant)
    try {
      return await work(client)
    } finally {
      pools.get(tenant)?.idle.push(client)
      serve()
    }
  }

  addPgRoutes(app, {
    query: (request, text, values) => lend(tenantOf(request, known), client => client.query(text, values)),
    lend: (request, work) => lend(tenantOf(request, known), work),
  })
  return { app }
}
