// A fail-over of Redis, by sentinels, with TLS and without, and in a Redis Cluster: every lookup of it is answered, and afterwards the new primary
// is used. Also how REDIS_URL is read.
import { readFileSync } from 'node:fs'
import type { Cluster } from 'ioredis'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { parseRoleKeys } from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { createDirectory } from '../../../../plugins/distributed-tenant/directory/directory.js'
import { createMemory } from '../../../../plugins/distributed-tenant/directory/memory-cache.js'
import { parseRedisUrl } from '../../../../plugins/distributed-tenant/directory/redis-address.js'
import { createRemote } from '../../../../plugins/distributed-tenant/directory/redis-cache.js'
import { connectRedis } from '../../../../plugins/distributed-tenant/directory/redis-client.js'
import type { DistributedTenantOptions } from '../../../../plugins/distributed-tenant/index.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { type Counters, createCounters } from '../../../../plugins/limits/counters.js'
import { type RedisOptions, type RedisServer, startRedis } from '../../../../stack/servers/redis.js'
import { makeCertificates } from '../../../certificates.js'
import { portOf, startSentinels } from '../../../redis-sentinels.js'
import { rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

/** A client of either kind is accepted by its type. */
export const accepted = (client: Redis | Cluster): DistributedTenantOptions => ({ redis: client })

/** Longer than any test. */
const DAY = 86_400_000
const PASSWORD = 'n-password-of-a-test'
const TENANTS = Array.from({ length: 20 }, (_, n) => parseTenantId(`tenant-${n}`))

async function server(t: Test, settings: readonly string[], more: RedisOptions = {}): Promise<RedisServer> {
  const started = await startRedis({ password: PASSWORD, settings: [`masterauth ${PASSWORD}`, ...settings], ...more })
  t.teardown(() => started.stop())
  return started
}

/** Without TLS, which each server takes too. */
function look(t: Test, { port }: RedisServer): Redis {
  const redis = new Redis(port, { password: PASSWORD })
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return redis
}

/** Lookups that memory never answers, of tenants in a real registry, through a client of this URL. */
async function directory(t: Test, url: string, ca?: string) {
  const { tenancy: open } = await rig(t, ['employee'])
  const { fleet } = await open('employee')
  const { central } = fleet
  for (const id of TENANTS)
    await central`insert into tenants (id, name, version, lifecycle, provisioned) values (${id}, ${id}, 1, 'active', 'ready')`
  const redis = connectRedis(url, 'test', ca)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  const remote = createRemote({
    redis,
    service: parseServiceName('employee'),
    keys: parseRoleKeys(roleSecret),
    ttlMs: 60_000,
    report: () => {},
  })
  const sources: string[] = []
  let trusted = false
  const made = createDirectory({
    central,
    remote,
    // Its notifications are those of PostgreSQL, which has no part in this: they begin, and nothing changes.
    notifications: {
      subscribe(_channel, _onChange, onReset) {
        setTimeout(() => onReset?.(), 0)
        return () => {}
      },
    },
    memory: { ...createMemory(), get: () => undefined },
    cacheTtl: 60_000,
    report(event) {
      if (event.type === 'remote_trusted') trusted = true
      if (event.type === 'lookup') sources.push(event.source)
    },
    announced: () => true,
  })
  t.teardown(() => made.close())
  await until('the directory trusts Redis', () => trusted)
  await until('the client works', () =>
    remote.check().then(
      () => true,
      () => false,
    ),
  )
  /** One lookup of each tenant, all of which must be answered. @returns whether Redis answered them all */
  const round = async () => {
    sources.length = 0
    const found = await Promise.all(TENANTS.map(id => made.find(id)))
    t.equal(found.filter(one => one?.provisioned === 'ready').length, TENANTS.length, 'every lookup is answered')
    return sources.length === TENANTS.length && sources.every(source => source === 'remote')
  }
  return { redis, remote, round }
}

/** Lookups go on while `change` takes its effect, until Redis answers them all again. */
async function throughout(
  { remote, round }: Awaited<ReturnType<typeof directory>>,
  fail: () => void | Promise<void>,
  met: () => Promise<boolean>,
): Promise<void> {
  await until('Redis answers all lookups', round)
  await fail()
  await until('another primary is in charge', async () => {
    await round()
    return met()
  })
  await until('Redis answers all lookups again', round)
  await remote.check()
}

async function failOverBySentinels(t: Test, tls?: Parameters<typeof startSentinels>[1]) {
  const redis = await startSentinels(stop => t.teardown(stop), tls)
  const { servers } = redis
  const primary = servers[0] as RedisServer
  const stand = await directory(t, redis.url, tls && readFileSync(tls.ca, 'utf8'))
  let next = portOf(primary)
  // Frozen, its connections stay open: only the sentinels say that it is the primary no more.
  t.teardown(() => primary.thaw())
  await throughout(
    stand,
    () => primary.freeze(),
    async () => {
      next = await redis.primary()
      return next !== portOf(primary)
    },
  )
  t.ok(
    servers.some(one => portOf(one) === next && one !== primary),
    'one of the replicas is the primary',
  )
  primary.thaw()
  const old = look(t, primary)
  await until('the former primary is a replica', async () => (await old.info('replication')).includes('role:slave'))
  t.ok(await until('lookups go on', stand.round))
  return { redis, primary, old }
}

t.test('a primary behind sentinels fails: every lookup is answered, and its successor is used', async t => {
  await failOverBySentinels(t)
})

t.test('the same with TLS, which each server and sentinel must prove', async t => {
  const { good, ca, foreignCa } = makeCertificates(t)
  const { redis, old } = await failOverBySentinels(t, { ...good, ca })
  await until('the former primary follows by TLS', async () =>
    (await old.info('replication')).includes('master_link_status:up'),
  )
  t.match(await old.info('replication'), `master_port:${await redis.primary()}`)

  const errors: string[] = []
  const mistrusting = connectRedis(redis.url, 'test', readFileSync(foreignCa, 'utf8'))
  t.teardown(() => mistrusting.disconnect())
  mistrusting.on('error', error => errors.push(String(error.message)))
  mistrusting.on('ready', () => t.fail('it has connected'))
  await until('sentinels of another authority are refused', () =>
    errors.some(message => /sentinels|certificate|self.signed/i.test(message)),
  )
  t.not(mistrusting.status, 'ready')
})

t.test('a primary of a Redis Cluster fails: every lookup is answered, and its replica is used', async t => {
  const settings = ['cluster-enabled yes', 'cluster-node-timeout 1500', 'cluster-replica-validity-factor 0']
  const nodes = await Promise.all([0, 1, 2, 3].map(() => server(t, settings)))
  const [one, two, three, replica] = nodes as [RedisServer, RedisServer, RedisServer, RedisServer]
  const [toOne, toTwo, toThree, toReplica] = nodes.map(node => look(t, node)) as [Redis, Redis, Redis, Redis]
  await toOne.cluster('ADDSLOTSRANGE', 0, 5460)
  await toTwo.cluster('ADDSLOTSRANGE', 5461, 10922)
  await toThree.cluster('ADDSLOTSRANGE', 10923, 16383)
  for (const { port } of [two, three, replica]) await toOne.call('CLUSTER', 'MEET', '127.0.0.1', port)
  const id = String(await toOne.call('CLUSTER', 'MYID'))
  await until('the replica follows', () =>
    toReplica.call('CLUSTER', 'REPLICATE', id).then(
      () => true,
      () => false,
    ),
  )
  const says = async (at: Redis, text: RegExp) => text.test(String(await at.call('CLUSTER', 'INFO')))
  for (const at of [toOne, toTwo, toThree, toReplica])
    await until('the cluster is whole', () => says(at, /cluster_state:ok[\s\S]*cluster_known_nodes:4/))
  await until('it is in step', async () => /master_link_status:up/.test(await toReplica.info('replication')))

  const at = [one, two].map(({ port }) => `127.0.0.1:${port}`).join(',')
  const stand = await directory(t, `redis+cluster://:${PASSWORD}@${at}`)
  const [here, there] = [0, 1].map(() => createCounters(stand.redis as unknown as Cluster)) as [Counters, Counters]
  t.teardown(() => here.close())
  t.teardown(() => there.close())
  for (const id of TENANTS) for (let n = 0; n < 30; n++) there.count(id, DAY)
  await until('counts of keys in all slots are shared', () =>
    TENANTS.map(id => here.count(id, DAY).current).every(current => current > 30),
  )
  await throughout(
    stand,
    () => one.kill(),
    async () => /role:master/.test(await toReplica.info('replication')),
  )
})

t.test('REDIS_URL: the forms that are read, and what is refused without its password', async t => {
  t.match(parseRedisUrl('redis://:p@host:1/2'), { kind: 'server', tls: false, url: 'redis://:p@host:1/2' })
  t.strictSame(parseRedisUrl('rediss+sentinel://u:p%40w@a,b:1,[::1]:2/main/3?sentinelPassword=s'), {
    kind: 'sentinel',
    tls: true,
    username: 'u',
    password: 'p@w',
    sentinels: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 1 },
      { host: '::1', port: 2 },
    ],
    name: 'main',
    db: 3,
    sentinelUsername: undefined,
    sentinelPassword: 's',
  })
  t.match(parseRedisUrl('redis+cluster://:p@a,b:1/'), {
    kind: 'cluster',
    password: 'p',
    nodes: [
      { host: 'a', port: 6379 },
      { host: 'b', port: 1 },
    ],
  })
  for (const [url, why] of [
    ['redis+sentinel://:hunter2@a,b', /name of the primary is missing/],
    ['redis+sentinel://:hunter2@a/name/x', /number of a database/],
    ['redis+sentinel://:hunter2@a/name?tls=false', /no options but/],
    ['redis+cluster://:hunter2@a,b/1', /one database/],
    ['redis+cluster://:hunter2@', /REDIS_URL cannot be read/],
    ['redis+cluster://:hunter%@a', /percent-encoded/],
    ['redis+other://:hunter2@a', /REDIS_URL cannot be read/],
    ['redis://:hunter2@a:b', /REDIS_URL cannot be read/],
  ] as const) {
    t.throws(() => parseRedisUrl(url), { code: 'CONFIGURATION_INVALID', message: why }, url)
    t.notMatch(String(new Error('', { cause: thrown(() => parseRedisUrl(url)) }).cause), /hunter/)
  }
})

function thrown(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
