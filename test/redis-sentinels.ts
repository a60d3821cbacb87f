// A Redis primary with two replicas and three sentinels, for tests; each is a real server, and `end` stops each.
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from '../stack/servers/redis.js'
import { until } from './until.js'

export interface RedisSentinels {
  /** The first is the primary at first. */
  readonly servers: readonly RedisServer[]
  readonly sentinels: readonly RedisServer[]
  readonly url: string
  /** The port of the primary, as the first sentinel names it: with TLS that of its `url`. */
  primary(): Promise<number>
}

/** Paths of PEM files. */
export interface SentinelsTls {
  readonly key: string
  readonly cert: string
  readonly ca: string
}

export const portOf = ({ url }: RedisServer): number => Number(new URL(url).port)

const PASSWORD = 'n-password-of-a-test'

/** @param tls with it clients, replicas and sentinels use TLS, and verify */
export async function startSentinels(
  end: (stop: () => Promise<void>) => void,
  tls?: SentinelsTls,
): Promise<RedisSentinels> {
  const ofTls = tls ? [`tls-ca-cert-file ${tls.ca}`, 'tls-replication yes'] : []
  const start = async (settings: readonly string[], sentinel = false): Promise<RedisServer> => {
    const server = await startRedis({ password: PASSWORD, settings: [...ofTls, ...settings], sentinel, tls })
    end(() => server.stop())
    return server
  }
  const ofPrimary = `masterauth ${PASSWORD}`
  const primary = await start([ofPrimary])
  const replicas = await Promise.all([1, 2].map(() => start([ofPrimary, `replicaof 127.0.0.1 ${portOf(primary)}`])))
  const sentinels = await Promise.all(
    [1, 2, 3].map(() =>
      start(
        [
          `sentinel monitor tenants 127.0.0.1 ${portOf(primary)} 2`,
          `sentinel auth-pass tenants ${PASSWORD}`,
          `sentinel sentinel-pass ${PASSWORD}`,
          'sentinel down-after-milliseconds tenants 1000',
          'sentinel failover-timeout tenants 5000',
        ],
        true,
      ),
    ),
  )
  const watching = new Redis(sentinels[0]?.url as string, tls ? { tls: { ca: readFileSync(tls.ca) } } : {})
  watching.on('error', () => {})
  end(async () => watching.disconnect())
  await until('the sentinels know each other and the replicas', async () => {
    const [info] = (await watching.call('SENTINEL', 'MASTERS')) as string[][]
    const field = (name: string) => info?.[(info?.indexOf(name) ?? 0) + 1]
    return field('num-other-sentinels') === '2' && field('num-slaves') === '2'
  })
  const at = sentinels.map(one => `127.0.0.1:${portOf(one)}`).join(',')
  return {
    servers: [primary, ...replicas],
    sentinels,
    url: `${tls ? 'rediss' : 'redis'}+sentinel://:${PASSWORD}@${at}/tenants?sentinelPassword=${PASSWORD}`,
    async primary() {
      const answer = (await watching.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'tenants')) as string[] | null
      return Number(answer?.[1])
    },
  }
}
