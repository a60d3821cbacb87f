// The victims of a chaos run and how each is started again: the services, one of them twice, NATS, Redis and every
// PostgreSQL. Invariant: a killed victim is started until it is up, as a supervisor would, before it is killed
// again.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { serviceNames } from '../../../stack/names.js'
import type { ServerProcess } from '../../../stack/servers/server-process.js'
import type { Service } from '../../../stack/service.js'
import type { RunningStack } from '../../../stack/stack.js'

export interface Victim {
  readonly name: string
  /** SIGKILL, to everything it has started as well. */
  kill(): Promise<void>
  revive(): Promise<void>
}

export interface VictimOptions {
  /** NATS restarts without its store. */
  readonly wipeNats: boolean
  readonly log: (line: string) => void
}

const STAND_UP_MS = 60_000
/** Longest time a victim stays down, and longest pause before the next one. */
const LIE_MS = 1_500
const PAUSE_MS = 800
/** Every so often two are down at the same time. */
const DOUBLE = 0.2

export function victimsOf(stack: RunningStack, replica: Service, { wipeNats, log }: VictimOptions): Victim[] {
  const { servers } = stack
  if (!servers) throw new Error('only servers of our own are killed')
  const service = (process: Service) => serviceVictim(process, log)
  const server = (name: string, process: ServerProcess) => serverVictim(name, process, log)
  const nats = server('nats', servers.nats)
  return [
    ...serviceNames.map(name => service(stack.services[name])),
    service(replica),
    {
      ...nats,
      async kill() {
        await nats.kill()
        if (wipeNats) rmSync(join(servers.dir, 'nats', 'jetstream'), { recursive: true, force: true })
      },
    },
    server('redis', servers.redis),
    ...serviceNames.map(name => server(`postgres-${name}`, servers.postgres[name])),
  ]
}

type Log = VictimOptions['log']

export const serviceVictim = (process: Service, log: Log): Victim => ({
  name: process.name,
  kill: () => process.kill(),
  revive: () => untilItIsUp(process.name, () => process.start(), log),
})

export const serverVictim = (name: string, process: ServerProcess, log: Log): Victim => ({
  name,
  kill: () => process.kill(),
  revive: () => untilItIsUp(name, () => process.restart(), log),
})

export interface Killing {
  readonly victims: readonly Victim[]
  /** Killed and not up yet. */
  readonly lying: Set<string>
  readonly enough: (done: number) => boolean
  readonly random: () => number
  readonly onKill: (name: string) => void
}

/** Each victim once, in random order, then at random. */
export async function killAll({ victims, lying, enough, random, onKill }: Killing): Promise<void> {
  const first = [...victims].sort(() => random() - 0.5)
  const next = (): Victim => first.pop() ?? (victims[Math.floor(random() * victims.length)] as Victim)
  for (let done = 0; !enough(done); ) {
    const now = [next()]
    const other = next()
    if (random() < DOUBLE && !enough(done + 1) && other !== now[0]) now.push(other)
    else if (done < victims.length) first.push(other)
    await Promise.all(
      now.map(async victim => {
        lying.add(victim.name)
        await victim.kill()
        done++
        onKill(victim.name)
        await sleep(random() * LIE_MS)
        await victim.revive()
        lying.delete(victim.name)
      }),
    )
    await sleep(random() * PAUSE_MS)
  }
}

/** A service does not start while its database is down. */
async function untilItIsUp(name: string, start: () => Promise<void>, log: (line: string) => void): Promise<void> {
  const deadline = performance.now() + STAND_UP_MS
  for (;;) {
    try {
      return await start()
    } catch (error) {
      if (performance.now() > deadline) throw error
      log(`${name} is not up yet: ${(error as Error).message.split('\n')[0]}`)
      await sleep(200)
    }
  }
}
