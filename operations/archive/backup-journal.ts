// The journal of backups, in the central database of each service that is backed up: the console reads it. Invariant: an archive
// is `done` there only after it has its name on the disk. A central database of an older release has no journal: it is left out.
import { randomBytes } from 'node:crypto'
import { interruptedRuns } from '../../plugins/distributed-tenant/registry/interrupted-runs.js'
import type { QueryClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { operatorName } from '../audit-trail.js'
import type { OpenService } from '../open-services.js'
import { carriedByAll } from '../single-run.js'

/** Null: the central databases. */
export type Archived = TenantId | null

interface Made {
  readonly services: readonly { readonly service: string; readonly bytes: number }[]
}

export interface BackupJournal {
  readonly id: string
  /** Services whose central database has no journal yet. */
  readonly without: readonly string[]
  /** Records the archive as begun, then as written or failed. @returns what `work` does. @throws as `work` */
  archive<T extends Made>(of: Archived, work: () => Promise<T>): Promise<T>
  /** Runs the work while it is visible that a process does. */
  carryOut<T>(work: () => Promise<T>): Promise<T>
  end(state: 'done' | 'stopped'): Promise<void>
}

const KEPT_DAYS = 90
const LONGEST_ERROR = 500

/** @param planned what is backed up, with the services that have it */
export async function beginBackup(
  target: string,
  planned: ReadonlyMap<Archived, readonly OpenService[]>,
): Promise<BackupJournal> {
  const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(3).toString('hex')}`
  const byService = new Map<OpenService, Archived[]>()
  for (const [of, services] of planned)
    for (const service of services) byService.set(service, [...(byService.get(service) ?? []), of])
  const kept = new Map<string, QueryClient>()
  const without: string[] = []
  for (const [{ name, tenancy }, archives] of byService) {
    const { central } = tenancy.transfer
    const [found] = await central<{ there: boolean }[]>`select to_regclass('backup_runs') is not null as there`
    if (!found?.there) {
      without.push(name)
      continue
    }
    const interrupted = (await interruptedRuns(central)).filter(({ kind }) => kind === 'backup')
    await central.begin(async tx => {
      // Nothing goes on with those: this one is begun again in their place.
      for (const { id: before } of interrupted)
        await tx`update backup_runs set state = 'stopped', ended_at = now() where id = ${before} and state = 'running'`
      await tx`delete from backup_runs where started_at < now() - make_interval(days => ${KEPT_DAYS})`
      await tx`insert into backup_runs (id, target, actor) values (${id}, ${target}, ${operatorName()})`
      await tx`
        insert into backup_archives (run_id, tenant_id)
        select ${id}, nullif(archived, '') from unnest(${archives.map(of => of ?? '')}::text[]) as archived`
    })
    kept.set(name, central)
  }
  const inEach = async (
    services: readonly OpenService[],
    note: (sql: QueryClient, service: string) => Promise<unknown>,
  ) => {
    const notes = services.map(async ({ name }) => {
      const central = kept.get(name)
      if (central) await note(central, name)
    })
    for (const end of await Promise.allSettled(notes)) if (end.status === 'rejected') throw end.reason
  }

  return {
    id,
    without,
    carryOut: work =>
      carriedByAll(
        [...byService.keys()].filter(({ name }) => kept.has(name)),
        id,
        work,
      ),
    async archive<T extends Made>(of: Archived, work: () => Promise<T>) {
      const services = planned.get(of) ?? []
      const change = (state: string, error: string | null, bytesOf: (service: string) => number | null) =>
        inEach(
          services,
          (sql, service) => sql`
            update backup_archives
            set state = ${state}, error = ${error}, bytes = ${bytesOf(service)}, changed_at = now()
            where run_id = ${id} and tenant_id is not distinct from ${of}::text`,
        )
      await change('running', null, () => null)
      let made: T
      try {
        made = await work()
      } catch (error) {
        // It often fails together with the database of this row, and its own reason is the one to read.
        await change('failed', String((error as Error).message).slice(0, LONGEST_ERROR), () => null).catch(() => {})
        throw error
      }
      await change('done', null, service => made.services.find(one => one.service === service)?.bytes ?? null)
      return made
    },
    end: state =>
      inEach(
        [...byService.keys()],
        sql => sql`update backup_runs set state = ${state}, ended_at = now() where id = ${id}`,
      ),
  }
}
