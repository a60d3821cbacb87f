// The end of a client of a Redis Cluster: nothing of it keeps a process alive.
import { Redis } from 'ioredis'
import t from 'tap'
import { startRedis } from '../../../../stack/servers/redis.js'
import { startChild } from '../../../child.js'
import { until } from '../../../until.js'

t.test('a process ends that disconnects while the slots are asked for', async t => {
  const server = await startRedis({ settings: ['cluster-enabled yes', 'cluster-announce-ip 127.0.0.1'] })
  t.teardown(() => server.stop())
  const at = new Redis(server.url)
  await at.cluster('ADDSLOTSRANGE', 0, 16383)
  await until('the cluster is whole', async () => /cluster_state:ok/.test(await at.cluster('INFO')))
  at.disconnect()
  const url = server.url.replace('redis:', 'redis+cluster:')
  const child = startChild(t, ['dist/test/plugins/distributed-tenant/directory/cluster-client.js', url], process.env)
  await child.waitFor(/ready/)
  server.freeze()
  t.teardown(() => server.thaw())
  await child.waitFor(/disconnected/)
  t.match(await child.ended, { code: 0, signal: null })
})
