// The queue of hashing: a few run at once, the others wait in one line for each address, and the addresses are served round
// robin. Invariant: an address waits for at most one job of each other address, however many those have sent. The lines
// are bounded for each address, for each tenant and in all. One beyond the bound of its tenant or of all takes the place of
// the last in the longest line there; if its own would be the longest, it is refused.
import type { FastifyRequest } from 'fastify'
import { addressOf } from '../../plugins/limits/index.js'
import { Overloaded } from '../../plugins/overload.js'

/** The tenant and the address of a job. */
export interface Caller {
  /** An address as limits count it, or {@link OPERATOR}. */
  readonly address: string
  readonly tenant: string | null
}

/** The line of requests with the operator's token, which no other request can be in. */
export const OPERATOR = 'operator'

/** For a request of a tenant. */
export const callerOf = (request: FastifyRequest): Caller => ({
  address: addressOf(request),
  tenant: request.tenantId,
})

export interface TurnBounds {
  readonly atOnce: number
  /** Jobs that wait, of one address, for one tenant, in all. */
  readonly perAddress: number
  readonly perTenant: number
  readonly inAll: number
}

/** Runs `work` when its turn has come. @throws OVERLOADED */
export type Turn = <T>(caller: Caller, work: () => Promise<T>) => Promise<T>

interface Waiting {
  readonly tenant: string | null
  go(): void
  refuse(error: Error): void
}

export function createTurns({ atOnce, perAddress, perTenant, inAll }: TurnBounds): Turn {
  /** In the order of their turns. An address without a line waits for nothing. */
  const lines = new Map<string, Waiting[]>()
  let running = 0

  const count = (among: (one: Waiting) => boolean, line: readonly Waiting[] = []): number => line.filter(among).length

  /** @throws OVERLOADED */
  function makeRoom(address: string, most: number, among: (one: Waiting) => boolean): void {
    let total = 0
    let longest: Waiting[] = []
    let length = count(among, lines.get(address)) + 1
    for (const line of lines.values()) {
      const own = count(among, line)
      total += own
      if (own > length) {
        longest = line
        length = own
      }
    }
    if (total < most) return
    const last = longest.findLastIndex(among)
    const [displaced] = last < 0 ? [] : longest.splice(last, 1)
    if (!displaced) throw new Overloaded()
    displaced.refuse(new Overloaded())
  }

  /** @throws OVERLOADED */
  function wait({ address, tenant }: Caller): Promise<void> {
    if ((lines.get(address)?.length ?? 0) >= perAddress) throw new Overloaded()
    if (tenant !== null) makeRoom(address, perTenant, one => one.tenant === tenant)
    makeRoom(address, inAll, () => true)
    return new Promise((go, refuse) => {
      const line = lines.get(address)
      if (line) line.push({ tenant, go, refuse })
      else lines.set(address, [{ tenant, go, refuse }])
    })
  }

  function next(): void {
    for (const [address, line] of lines) {
      const first = line.shift()
      lines.delete(address)
      if (line.length > 0) lines.set(address, line)
      if (first) {
        first.go()
        return
      }
    }
    running--
  }

  return async (caller, work) => {
    if (running >= atOnce) await wait(caller)
    else running++
    try {
      return await work()
    } finally {
      next()
    }
  }
}
