// Which part of an archive belongs to which service that the command has opened.
import type { OpenService } from '../open-services.js'
import { UsageError } from '../outcome.js'
import type { Archive } from './archive-reader.js'

export interface MatchedServices {
  readonly present: readonly { readonly part: Archive['manifest']['services'][number]; readonly service: OpenService }[]
  /** Services that are named, and of which the archive holds nothing. */
  readonly absent: readonly OpenService[]
}

/** @param partial services were named: parts of others are left out. @throws UsageError for a part whose service is not configured, or when none is left */
export function matchServices(
  { manifest }: Archive,
  services: readonly OpenService[],
  partial: boolean,
): MatchedServices {
  const known = new Map(services.map(service => [service.name, service]))
  const present = manifest.services.flatMap(part => {
    const service = known.get(part.service)
    if (!service && !partial) {
      throw new UsageError(
        `The archive holds ${part.service}, and that service is not configured: name it in --config, or restore one service with --service.`,
      )
    }
    return service ? [{ part, service }] : []
  })
  if (present.length === 0) {
    throw new UsageError(
      `The archive holds ${manifest.services.map(({ service }) => service).join(', ')}, and none of the named services.`,
    )
  }
  const absent = services.filter(({ name }) => !present.some(({ part }) => part.service === name))
  return { present, absent }
}
