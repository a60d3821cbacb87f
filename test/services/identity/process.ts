// Identity as a process of its own, which the test can end at a step as a power cut would.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../../../stack/servers/ports.js'
import type { Rig } from '../../rig.js'
import { environmentOf, type ServiceProcess, startService } from '../process.js'
import { adminToken } from '../rig.js'

const crash = new URL('../../faults/crash.js', import.meta.url).href

export interface KillableIdentity {
  readonly port: number
  /** Starts it, once the process before has ended. */
  start(): Promise<ServiceProcess>
  /** The running process ends at this step, `<area>.<step>`: see test/faults/crash.ts. */
  arm(step: string): void
}

export async function killableIdentity(
  t: Test,
  made: Rig,
  env: Record<string, string> = {},
): Promise<KillableIdentity> {
  const orders = mkdtempSync(join(tmpdir(), 'orders-'))
  t.teardown(() => rmSync(orders, { recursive: true, force: true }))
  const port = await freePort()
  const whole = { ...environmentOf(made, 'identity', port), ADMIN_TOKEN: adminToken, FAULT: `@${orders}`, ...env }
  return {
    port,
    arm: step => writeFileSync(join(orders, 'identity'), step),
    async start() {
      const service = startService(t, 'identity', whole, ['--import', crash])
      await service.answers('/api/health/live')
      return service
    },
  }
}
