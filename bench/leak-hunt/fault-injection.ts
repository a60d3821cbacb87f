// The faults of the servers during the hunt: one tenant backend in a hundred requests is killed, Redis is emptied every
// ten seconds, and PostgreSQL is killed and started again when asked for. All is done from outside, as an operator or an accident would.
import { Redis } from 'ioredis'
import type { Fleet } from '../fleet.js'

export interface Mischief {
  /** Called after every request; kills a backend at random in one of a hundred. */
  requestDone(): void
  /** A reply with a tenant's secret: the server is there. */
  served(): void
  /** Kills PostgreSQL, and starts it again; asked for meanwhile, once more after that. */
  restart(): void
  readonly killed: number
  readonly flushed: number
  readonly restarts: number
  /** Milliseconds, see HuntVerdict. */
  readonly slowestReturn: number
  stop(): Promise<void>
}

const KILL_SHARE = 0.01
const FLUSH_MS = 10_000

export function createFaults({ superuser, postgres }: Fleet, redisUrl: string, random: () => number): Mischief {
  const redis = new Redis(redisUrl)
  redis.on('error', () => {})
  const running = new Set<Promise<unknown>>()
  let killed = 0
  let flushed = 0
  let restarts = 0
  let restarting = false
  let lastRestart = Promise.resolve()
  let backSince: number | null = null
  let slowestReturn = 0

  function keep(work: Promise<unknown>): void {
    running.add(work)
    work.catch(() => {}).finally(() => running.delete(work))
  }

  async function flush(): Promise<void> {
    await redis.flushall()
    flushed++
  }

  async function kill(): Promise<void> {
    const rows = await superuser`
      select pg_terminate_backend(pid) from (
        select pid from pg_stat_activity where backend_type = 'client backend' and datname like 'tenant\\_%'
        order by random() limit 1) as unlucky`
    killed += rows.length
  }

  async function restart(): Promise<void> {
    restarting = true
    try {
      await postgres.kill()
      await postgres.restart()
      backSince = performance.now()
      restarts++
    } finally {
      restarting = false
    }
  }

  const timer = setInterval(() => keep(flush()), FLUSH_MS)
  const early = setTimeout(() => keep(flush()), 2_000)

  return {
    requestDone() {
      if (random() < KILL_SHARE && !restarting) keep(kill())
    },
    served() {
      if (backSince === null) return
      slowestReturn = Math.max(slowestReturn, performance.now() - backSince)
      backSince = null
    },
    restart() {
      lastRestart = lastRestart.then(restart)
      keep(lastRestart)
    },
    get killed() {
      return killed
    },
    get flushed() {
      return flushed
    },
    get restarts() {
      return restarts
    },
    get slowestReturn() {
      return backSince === null ? slowestReturn : Math.max(slowestReturn, performance.now() - backSince)
    },
    async stop() {
      clearInterval(timer)
      clearTimeout(early)
      await Promise.allSettled(running)
      redis.disconnect()
    },
  }
}
