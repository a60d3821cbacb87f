// The versions of the measured servers, for a provisioning report.
import { execFileSync } from 'node:child_process'
import { findServers } from '../../stack/servers/find.js'
import type { Config } from '../report.js'
import type { Stage } from './stage.js'

const versionOf = (program: string): string =>
  /\d+(\.\d+)+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown'

export async function versionsOf({ cluster }: Pick<Stage, 'cluster'>): Promise<Config> {
  const [row] = await cluster.identity<{ postgres: string; fsync: string; sync: string; buffers: string }[]>`
    select current_setting('server_version') as postgres, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as sync, current_setting('shared_buffers') as buffers`
  const { nats, redis } = findServers()
  return {
    postgresql: `3 x ${row?.postgres}, fsync ${row?.fsync}, synchronous_commit ${row?.sync}, shared_buffers ${row?.buffers}`,
    'nats, redis': `${versionOf(nats)}, ${versionOf(redis)}`,
  }
}
