// One cluster-chaos run: the services on three NATS servers and on Redis behind sentinels. Servers of both, the services and a
// replica are killed at random, while tenants are made and changed and requests are sent to a replica that is not killed. Then
// everything is started, and the ledger judges. PostgreSQL is left alone: `npm run chaos` kills it.
import { random as seeded } from '../../../bench/distribution.js'
import type { Progress } from '../../../bench/progress.js'
import { serviceNames } from '../../../stack/names.js'
import type { NatsServer } from '../../../stack/servers/nats.js'
import { startNatsCluster } from '../../../stack/servers/nats-cluster.js'
import { type RunningStack, startStack } from '../../../stack/stack.js'
import { startSentinels } from '../../redis-sentinels.js'
import { startLoad } from '../chaos/load.js'
import { lastCheck } from '../chaos/run.js'
import { type ChaosVerdict, judge } from '../chaos/verdict.js'
import { killAll, serverVictim, serviceVictim, type Victim } from '../chaos/victims.js'
import { createOperator } from '../operator.js'
import { auditor } from '../stream-facts.js'
import { type Requests, startRequests } from './requests.js'

export interface ClusterChaosOptions {
  readonly minutes: number
  readonly seed: number
  readonly progress: Progress
}

export type ClusterChaosVerdict = ChaosVerdict & { readonly requests: Pick<Requests, 'sent' | 'failed'> }

const CONVERGE_MS = 180_000
/** Made over the whole time. */
const TENANTS_A_MINUTE = 40

export async function runClusterChaos({ minutes, seed, progress }: ClusterChaosOptions): Promise<ClusterChaosVerdict> {
  const ends: (() => Promise<void> | void)[] = []
  const deaths: string[] = []
  const lying = new Set<string>()
  let ending = false
  try {
    progress.say('starting three NATS servers, three Redis, three sentinels and the stack')
    const nats = await startNatsCluster([{ name: 'services' }, auditor])
    ends.push(nats.stop)
    const redis = await startSentinels(end => ends.push(end))
    const started = await startStack({
      serviceEnv: {
        LOG_LEVEL: 'info',
        NATS_URL: nats.url('services'),
        NATS_STREAM_REPLICAS: '3',
        REDIS_URL: redis.url,
      },
      serviceDied: (message, name) => !ending && !lying.has(name) && deaths.push(message),
    })
    ends.push(() => {
      ending = true
      return started.stop()
    })
    // The check reads the stream where it is.
    const stack: RunningStack = { ...started, servers: { ...servers(started), nats: nats.servers[0] as NatsServer } }
    const replica = await stack.replica('employee')
    const spared = await stack.replica('employee')
    const victims: Victim[] = [
      ...serviceNames.map(name => serviceVictim(stack.services[name], progress.say)),
      serviceVictim(replica, progress.say),
      ...nats.servers.map((server, at) => serverVictim(`nats-${at + 1}`, server, progress.say)),
      ...redis.servers.map((server, at) => serverVictim(`redis-${at + 1}`, server, progress.say)),
      ...redis.sentinels.slice(1).map((server, at) => serverVictim(`sentinel-${at + 2}`, server, progress.say)),
    ]
    const operator = createOperator(stack)
    const requests = await startRequests({ stack, url: spared.url, random: seeded(seed + 2) })
    const began = performance.now()
    const tenants = minutes * TENANTS_A_MINUTE
    const elapsed = () => (performance.now() - began) / (minutes * 60_000)
    progress.begin('cluster-chaos', tenants)
    const count: Record<string, number> = {}
    const load = startLoad({
      tenants,
      random: seeded(seed + 1),
      operator,
      allowed: () => Math.ceil(tenants * elapsed()),
      onTenant: () => progress.step(`${load.accepted} tenants accepted, ${requests.sent} requests`),
    })
    const killing = killAll({
      victims,
      lying,
      enough: () => elapsed() >= 1,
      random: seeded(seed),
      onKill(name) {
        count[name] = (count[name] ?? 0) + 1
      },
    })
    await Promise.all([load.done, killing])
    await requests.stop()
    const standing = performance.now()
    progress.say('everything is up again; waiting for the ledger')
    const check = await lastCheck(stack, standing + CONVERGE_MS, progress)
    const clean = check.differences.length === 0
    const verdict = judge(
      {
        tenants,
        accepted: load.accepted,
        changes: load.changes,
        kills: count,
        wipedNats: 0,
        repeatedCalls: operator.repeated,
        deaths,
        failures: load.failures,
        seconds: Math.round((performance.now() - began) / 1000),
        convergedMs: clean ? Math.round(performance.now() - standing) : null,
      },
      check,
      load.promised,
    )
    const { sent, failed, reasons } = requests
    const asked = sent === 0 ? ['no request was sent'] : reasons.map(reason => `a request failed: ${reason}`)
    return { ...verdict, requests: { sent, failed }, violations: [...verdict.violations, ...asked] }
  } finally {
    ending = true
    for (const end of ends.reverse()) await end()
  }
}

function servers({ servers: found }: RunningStack) {
  if (!found) throw new Error('only servers of our own are killed')
  return found
}
