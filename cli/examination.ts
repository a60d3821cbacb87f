// Owns what `doctor` looks at in one service. A part that cannot be asked is a problem of its own and hides no other.
import { cache } from './examination/cache.js'
import { stores, stream } from './examination/events.js'
import { fleet } from './examination/fleet.js'
import { type Problem, problem } from './examination/problem.js'
import { visits } from './examination/visits.js'
import { sentenceOf } from './outcome.js'
import type { OpenService } from './services.js'
import type { Targets } from './targets.js'

export type { Problem } from './examination/problem.js'

export async function inspect(service: OpenService, targets: Targets, deep: boolean): Promise<Problem[]> {
  const parts = [
    asked('registry and databases', () => fleet(service, targets)),
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
