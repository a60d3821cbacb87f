// Three real nats-servers as one cluster, for a test. If a test kills some of them, stop() ends the rest.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import { type NatsServer, startNats, temporaryFolder } from './nats-server.js'

export interface NatsCluster {
  /** By name, as a stream's `cluster.leader` names them. */
  readonly nodes: Readonly<Record<string, NatsServer>>
  /** All of them, for the user of the accounts' text; without users when it is left out. */
  url(user?: string): string
  node(name: string | null | undefined): NatsServer
}

/**
 * @param more added to each server's configuration, such as `accounts`
 * @param program default: the one in PATH
 */
export async function natsCluster(
  t: Pick<Test, 'teardown'>,
  { more = '', program }: { more?: string; program?: string } = {},
): Promise<NatsCluster> {
  const { dir, remove } = temporaryFolder()
  const names = ['n1', 'n2', 'n3']
  const ports = await Promise.all(names.map(() => freePort()))
  const routes = ports.map(port => `"nats-route://127.0.0.1:${port}"`).join(', ')
  const started = await Promise.all(
    names.map(async (name, at) => {
      const folder = join(dir, name)
      mkdirSync(folder)
      const cluster = `cluster: { name: tenants, host: "127.0.0.1", port: ${ports[at]}, routes: [${routes}] }`
      const config = `server_name: ${name}\n${cluster}\n${more}\n`
      return [name, await startNats({ dir: folder, config, ...(program !== undefined && { program }) })] as const
    }),
  )
  t.teardown(async () => {
    for (const [, node] of started) await node.stop()
    remove()
  })
  const nodes = Object.fromEntries(started)
  return {
    nodes,
    url: (user = '') => started.map(([, { port }]) => `nats://${user && `${user}@`}127.0.0.1:${port}`).join(','),
    node(name) {
      const found = name && nodes[name]
      if (!found) throw new Error(`no server ${name}`)
      return found
    },
  }
}
