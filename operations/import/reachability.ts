// The reachability of the services that an import needs: identity, which registers the tenants, and each service
// that then provisions the databases. Checked before anything is frozen; a service without a known address is not checked.
import { block, type Obstacle } from '../copying/obstacle.js'
import type { OpenService } from '../open-services.js'
import type { Targets } from '../targets.js'

const ANSWER_MS = 5_000

export async function servicesInTheWay(services: readonly OpenService[], targets: Targets): Promise<Obstacle[]> {
  const places = new Map(services.map(({ name, target }) => [name, target.url]))
  places.set('identity', targets.identityUrl)
  const asked = await Promise.all(
    [...places].map(async ([name, url]) => (url === null ? null : await silent(name, url))),
  )
  return asked.filter(one => one !== null)
}

async function silent(name: string, url: string): Promise<Obstacle | null> {
  try {
    const { ok, status } = await fetch(new URL('/api/health/live', url), { signal: AbortSignal.timeout(ANSWER_MS) })
    if (ok) return null
    return block(name, `answers ${status} at ${url}: check its address, and that it is the service`)
  } catch (error) {
    const { cause, message } = error as Error & { cause?: { code?: string; message?: string } }
    const why = cause?.code ?? cause?.message ?? message
    return block(name, `does not answer at ${url} (${why}): start it, or correct its address`)
  }
}
