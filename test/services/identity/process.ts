// Owns identity as a process of its own, which a fault may end at a step as a power cut would.
import type { Test } from 'tap'
import type { Rig } from '../../rig.js'
import { environmentOf, type ServiceProcess, startService } from '../process.js'
import { adminToken } from '../rig.js'

const crash = new URL('../../faults/crash.js', import.meta.url).href

/** @param fault `<area>.<step>`: see test/faults/crash.ts */
export async function identity(t: Test, made: Rig, port: number, fault?: string, env = {}): Promise<ServiceProcess> {
  const service = startService(
    t,
    'identity',
    { ...environmentOf(made, 'identity', port), ADMIN_TOKEN: adminToken, ...(fault && { FAULT: fault }), ...env },
    fault ? ['--import', crash] : [],
  )
  await service.answers('/api/health/live')
  return service
}
