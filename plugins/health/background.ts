// The periodic health check: every interval, with a log line when a part goes down or comes back.
// It keeps no process alive and ends with it.
import type { FastifyInstance } from 'fastify'
import { every } from '../../timing/timers.js'
import type { TenancyHealth } from '../distributed-tenant/index.js'
import type { Monitor } from './monitor.js'

const parts = { central: 'the central database', cache: 'redis', events: 'nats' } as const
type Part = keyof typeof parts

export function watchHealth(
  app: FastifyInstance,
  monitor: Monitor<Pick<TenancyHealth, Part>>,
  intervalMs: number,
): void {
  const down = new Set<Part>()

  async function look(): Promise<void> {
    const observed = await monitor.current()
    for (const [part, name] of Object.entries(parts) as [Part, string][]) {
      const { status, detail } = observed[part]
      if (status === 'down' && !down.has(part)) {
        down.add(part)
        app.log.warn({ part, detail }, `${name} is down`)
      } else if (status !== 'down' && down.delete(part)) {
        app.log.info({ part }, `${name} is back`)
      }
    }
  }

  const stop = every(intervalMs, look, error => app.log.error({ err: error }, 'health check failed'))
  app.addHook('onClose', async () => stop())
}
