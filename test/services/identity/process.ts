// Owns identity as a process of its own, which a fault may end at a step as a power cut would.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { inheritedEnvironment } from '../../../stack/service-environment.js'
import { type Rig, until } from '../../rig.js'
import { adminToken } from '../rig.js'

const main = fileURLToPath(new URL('../../../services/identity/main.js', import.meta.url))

const crash = new URL('../../faults/crash.js', import.meta.url).href

/** @param fault `<area>.<step>`: see test/faults/crash.ts */
export async function identity(t: Test, { database, servers }: Rig, port: number, fault?: string, env = {}) {
  const { host, port: databasePort, user, password } = database('identity')
  const child = spawn(process.execPath, [...(fault ? ['--import', crash] : []), main], {
    env: {
      ...inheritedEnvironment(process.env),
      DOCKER_ENABLED: 'false',
      DB_HOST: host,
      DB_PORT: String(databasePort),
      DB_USERNAME: user,
      DB_PASSWORD: password ?? '',
      NATS_URL: servers.nats.url,
      REDIS_URL: servers.redis.url,
      ADMIN_TOKEN: adminToken,
      PORT: String(port),
      ...(fault && { FAULT: fault }),
      ...env,
    },
    stdio: 'ignore',
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await until('identity answers', 60_000, () =>
    fetch(`http://127.0.0.1:${port}/api/health/live`, { headers: { connection: 'close' } }).then(
      ({ ok }) => ok,
      () => false,
    ),
  )
  return {
    ended,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}
