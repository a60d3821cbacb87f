// PostgreSQL in a container, by Testcontainers, where the project has it: loaded only then. Its own reaper removes the container
// when this process is killed.
import { pathToFileURL } from 'node:url'
import { resolveFrom } from './programs.js'
import type { Server } from './server-process.js'

const IMAGE = 'postgres:17-alpine'

interface Started {
  getHost(): string
  getPort(): number
  getUsername(): string
  getPassword(): string
  stop(): Promise<unknown>
}

interface Module {
  readonly PostgreSqlContainer: new (image: string) => { start(): Promise<Started> }
}

/** Null when the project has no Testcontainers. @throws what Testcontainers throws, without Docker for one */
export async function startContainer({ from }: { from: string }): Promise<Server | null> {
  const entry = resolveFrom(from, '@testcontainers/postgresql')
  if (entry === null) return null
  const { PostgreSqlContainer } = (await import(pathToFileURL(entry).href)) as Module
  const container = await new PostgreSqlContainer(IMAGE).start()
  let stopped: Promise<unknown> | null = null
  return {
    host: container.getHost(),
    port: container.getPort(),
    user: container.getUsername(),
    password: container.getPassword(),
    ssl: 'prefer',
    own: true,
    async close() {
      stopped ??= container.stop()
      await stopped
    },
  }
}
