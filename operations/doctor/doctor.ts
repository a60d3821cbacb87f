// The checks of `doctor` in one service. Invariant: a part that cannot be asked is a problem of its own and hides no other.

import type { OpenService } from '../open-services.js'
import { sentenceOf } from '../outcome.js'
import type { Targets } from '../targets.js'
import { cache } from './cache.js'
import { stores, stream } from './events.js'
import { fleet } from './fleet.js'
import { type Problem, problem } from './problem.js'
import { visits } from './visits.js'

export type { Problem } from './problem.js'

export async function inspect(service: OpenService, targets: Targets, deep: boolean): Promise<Problem[]> {
  const parts = [
    asked('registry and databases', () => fleet(service)),
    asked('outbox, dead events, spares', () => stores(service)),
    asked('stream', () => stream(service)),
    asked('cached lookups', () => cache(service, targets)),
    ...(deep ? [asked('tenant databases', () => visits(service))] : []),
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
