// A program with a client of a Redis Cluster, which it ends while the slots are asked for: argv[2] is the URL. It must end by itself.
import { setTimeout as sleep } from 'node:timers/promises'
import { connectRedis } from '../../../../plugins/distributed-tenant/directory/redis-client.js'

const client = connectRedis(process.argv[2] as string, 'test')
client.on('error', () => {})
await new Promise<void>(resolve => client.once('ready', resolve))
process.stdout.write('ready\n')
// ioredis has no public state for it.
while (!(client as unknown as { isRefreshing: boolean }).isRefreshing) await sleep(5)
client.disconnect()
process.stdout.write('disconnected\n')
