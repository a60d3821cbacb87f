// The parser of an import's options into its plan: pairs and files are read, and a malformed pair is named.
import { NoText, readTextFile } from '../../files/text-file.js'
import { bytesOf } from '../copying/byte-sizes.js'
import type { Instance } from '../copying/external-instance.js'
import { createPrograms, type Programs } from '../copying/pg-programs.js'
import type { OpenService } from '../open-services.js'
import { UsageError } from '../outcome.js'
import type { Plan, PlanOptions } from './plan.js'

export interface PlanChoices {
  readonly tenant?: readonly string[]
  readonly map?: readonly string[]
  readonly baseline?: readonly string[]
  readonly tenantsQuery?: string
  readonly room?: readonly string[]
  readonly folder: string
  readonly parallel: number
  readonly programs?: string
}

/** @throws UsageError, TRANSFER_REFUSED, TRANSFER_FAILED */
export async function planOf(
  services: readonly OpenService[],
  source: Instance,
  options: PlanChoices & Pick<PlanOptions, 'online'>,
): Promise<Plan> {
  const { planImport } = await import('./plan.js')
  return planImport({
    source,
    services: services.map(({ tenancy }) => tenancy.transfer),
    programs: await programsOf(options),
    map: pairs('--map', options.map),
    only: options.tenant,
    tenantsQuery: options.tenantsQuery ? queryIn(options.tenantsQuery) : null,
    baselines: new Map(
      [...pairs('--baseline', options.baseline)].map(([service, version]) => [service, Number(version)]),
    ),
    room: new Map([...pairs('--room', options.room)].map(([service, size]) => [service, sizeIn(size)])),
    folder: options.folder,
    parallel: options.parallel,
    online: options.online,
  })
}

/** The tenants that were named, by their ids here. */
export const namedTenants = ({ tenant, map }: Pick<PlanChoices, 'tenant' | 'map'>): readonly string[] | undefined => {
  const ids = pairs('--map', map)
  return tenant && [...new Set(tenant.map(one => ids.get(one) ?? one))]
}

function queryIn(path: string): string {
  try {
    return readTextFile(path)
  } catch (error) {
    if (error instanceof NoText) throw new UsageError(`--tenants-query: ${path} ${error.message}.`)
    throw new UsageError(`--tenants-query: ${path} cannot be read: check the path.`, { cause: error })
  }
}

/** pg_dump and pg_restore, without the project's secrets. */
export async function programsOf({ programs }: Pick<PlanChoices, 'programs'>): Promise<Programs> {
  const { inherited } = await import('../child-environment.js')
  return createPrograms({ folder: programs, environment: inherited() })
}

function sizeIn(text: string): number {
  const bytes = bytesOf(text)
  if (bytes === null) throw new UsageError(`--room is ${text}, which is no size: write it like core=50GB.`)
  return bytes
}

function pairs(option: string, given: readonly string[] = []): Map<string, string> {
  return new Map(
    given.map(text => {
      const at = text.lastIndexOf('=')
      if (at < 1) throw new UsageError(`${option} ${text} is no pair: write it as old=new.`)
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}
