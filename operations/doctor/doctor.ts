// The checks of `doctor` in one service. Invariant: a part that cannot be asked is a problem of its own and hides no other.

import type { OpenService } from '../open-services.js'
import { sentenceOf } from '../outcome.js'
import type { Targets } from '../targets.js'
import { cache } from './cache.js'
import { stores } from './events.js'
import { fleet } from './fleet.js'
import { againstIdentity } from './identity-registry.js'
import { instances } from './instances.js'
import { leftByMoves } from './moves.js'
import { type Problem, problem } from './problem.js'
import { stream } from './stream.js'
import { visits } from './visits.js'

export type { Problem } from './problem.js'

export interface Inspection {
  readonly deep: boolean
  /** The key of tenants' roles that the operator gives up: they get the current one. */
  readonly lostKey: string | null
  /** Its registry is compared with the service's; null when the command has not opened it. */
  readonly identity: OpenService | null
}

export async function inspect(service: OpenService, targets: Targets, how: Inspection): Promise<Problem[]> {
  const parts = [
    asked('registry and databases', () => fleet(service, how.lostKey)),
    asked('moves', () => leftByMoves(service)),
    asked('instances', () => instances(service)),
    asked('identity’s registry', () => againstIdentity(service, how.identity)),
    asked('outbox, dead events, spares', () => stores(service)),
    asked('stream', () => stream(service)),
    asked('cached lookups', () => cache(service, targets)),
    ...(how.deep ? [asked('tenant databases', () => visits(service))] : []),
  ]
  return (await Promise.all(parts)).flat()
}

async function asked(part: string, ask: () => Promise<Problem[]>): Promise<Problem[]> {
  try {
    return await ask()
  } catch (error) {
    return [problem('cannot be asked', part, sentenceOf(error))]
  }
}
