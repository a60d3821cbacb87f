// Owns the steps by which one tenant's data comes into one service: frozen at the source, copied, compared, and handed over
// with our certificate and mark, so that the provisioner finds it as its own. Invariants: each step can be run again after
// a kill; until it is handed over the comment keeps everybody off; whatever is dropped carries this transfer's comment or
// the certificate in its journal. A failure is thrown; undoing is the caller's decision.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import {
  closeToPublic,
  commentDatabase,
  dropDatabase,
  inspectDatabase,
  markText,
  parseMark,
} from '../databases/databases.js'
import { type MigrationSet, migrate } from '../databases/migrations.js'
import { tenantDatabaseName } from '../databases/names.js'
import { TransferFailed, TransferRefused } from '../errors.js'
import { findTenant } from '../provisioning/registry.js'
import type { QueryClient, SqlClient, TenantId } from '../types.js'
import { contentsDigest, differences, readContents } from './contents.js'
import { freeze, readBefore, sessionsFrom, thaw } from './freeze.js'
import type { Instance } from './instance.js'
import type { Change, Journal, TransferTenant } from './journal.js'
import type { TransferParts } from './parts.js'
import type { Programs } from './programs.js'

export interface TenantTransferOptions extends TransferParts {
  readonly transfer: string
  readonly source: Instance
  readonly programs: Programs
  readonly journal: Journal
  /** Where copies of large databases lie for a while. */
  readonly folder: string
  /** Jobs on either side for a large one. */
  readonly jobs: number
  /** False: the copy is believed. For measuring what comparing costs; the command never does it. */
  readonly compare?: boolean
}

export interface TenantTransfer {
  freeze(row: TransferTenant): Promise<TransferTenant>
  /** From frozen to handed over. */
  bring(row: TransferTenant): Promise<TransferTenant>
  registering(row: TransferTenant): Promise<TransferTenant>
  /** Waits until the registry has it ready, from the very database that was brought. */
  ready(row: TransferTenant): Promise<TransferTenant>
  /** Whether its database is as it was handed over. */
  untouched(row: TransferTenant): Promise<boolean>
  /** Drops what was brought and opens the source. */
  undo(row: TransferTenant, step: 'failed' | 'undone', error: string | null): Promise<TransferTenant>
  thaw(row: TransferTenant): Promise<TransferTenant>
}

/** From this size on several jobs are worth a folder on the disk. */
export const LARGE_BYTES = 256 * 1024 * 1024
const READY_MS = 90_000
const POLL_MS = 50
const SHOWN = 5

export function createTenantTransfer(options: TenantTransferOptions): TenantTransfer {
  const { service, central, session, visit, sets, source, journal, transfer, report, compare = true } = options
  const tenantSet = sets.at(-1) as MigrationSet
  const comment = `distributed-tenant:transfer:v1 ${transfer}`
  const nameOf = (id: TenantId): string => tenantDatabaseName(id, service)

  async function note(row: TransferTenant, change: Change): Promise<TransferTenant> {
    const now = await journal.note(transfer, row.id, change)
    if (change.step) report({ type: change.step, id: row.id })
    return now
  }

  /** @returns from when on nobody writes there */
  async function close(row: TransferTenant): Promise<string> {
    const at = await source.visit(sql => freeze(sql, row.sourceDatabase))
    report({ type: 'closed', id: row.id })
    return at
  }

  async function freezeStep(row: TransferTenant): Promise<TransferTenant> {
    if (row.step !== 'pending' && row.step !== 'freezing') return row
    const before = row.frozen ?? (await source.visit(sql => readBefore(sql, row.sourceDatabase)))
    const begun = await note(row, { step: 'freezing', frozen: before, error: null })
    const at = await close(begun)
    return note(begun, { step: 'frozen', frozen: { ...before, at } })
  }

  /** @throws TRANSFER_REFUSED when its name is held by anything else than this transfer's own */
  async function dropOwn(row: TransferTenant): Promise<void> {
    const name = nameOf(row.id)
    await session(async sql => {
      const found = await inspectDatabase(sql, name)
      if (found.state === 'absent') return
      if (found.state === 'present' && !(await isOurs(row, name, found))) {
        throw new TransferRefused(
          `${name} at the target is not of this import and was left as it is: look into it, then go on.`,
        )
      }
      await dropDatabase(sql, name)
    })
  }

  async function isOurs(
    { certificate }: TransferTenant,
    name: string,
    found: { comment: string | null; ours: boolean },
  ): Promise<boolean> {
    if (!found.ours) return false
    if (found.comment === comment) return true
    const mark = parseMark(found.comment)
    if (mark) return certificate !== null && mark.certificate === certificate
    // Killed between making it and writing the comment: it holds nothing yet.
    return found.comment === null && (await visit(name, isEmpty))
  }

  async function copy(row: TransferTenant): Promise<TransferTenant> {
    const begun = await note(row, { step: 'copying' })
    await dropOwn(begun)
    const name = nameOf(row.id)
    const statement = await source.visit(sql => creation(sql, row.sourceDatabase, name))
    await session(async sql => {
      await sql.unsafe(statement)
      await closeToPublic(sql, name)
      report({ type: 'created', id: row.id })
      await commentDatabase(sql, name, comment)
    })
    const from = { ...source.address, database: row.sourceDatabase }
    const to = { ...options.database, database: name }
    if (row.bytes < LARGE_BYTES) await options.programs.pipe(from, to)
    else {
      const folder = join(options.folder, `${transfer}-${row.id}-${service}`)
      await options.programs.parallel(from, to, { folder, jobs: options.jobs })
    }
    report({ type: 'restored', id: row.id })
    return note(begun, { step: 'copied' })
  }

  async function verify(row: TransferTenant, frozenAt: string): Promise<TransferTenant> {
    const name = nameOf(row.id)
    if (!compare) return note(row, { step: 'verified', contents: await visit(name, digestOf) })
    const [original, copied] = await Promise.all([
      source.visit(async sql => {
        const [state] = await sql<{ readOnly: string }[]>`
          select current_setting('default_transaction_read_only') as "readOnly"`
        const writers = await sessionsFrom(sql, row.sourceDatabase, frozenAt)
        if (state?.readOnly !== 'on' || writers.length > 0) {
          throw new TransferFailed(
            `${row.sourceDatabase} was opened during the copy: find out who did, then go on with --resume.`,
          )
        }
        return readContents(sql)
      }, row.sourceDatabase),
      visit(name, readContents),
    ])
    const wrong = differences(original, copied)
    if (wrong.length > 0) {
      const more = wrong.length > SHOWN ? ` and ${wrong.length - SHOWN} more` : ''
      throw new TransferFailed(
        `The copy of ${row.sourceDatabase} is not like it (${wrong.slice(0, SHOWN).join('; ')}${more}).`,
      )
    }
    return note(row, { step: 'verified', contents: contentsDigest(copied) })
  }

  async function handOver(row: TransferTenant): Promise<TransferTenant> {
    const certificate = row.certificate ?? randomBytes(16).toString('hex')
    const begun = await note(row, { certificate })
    const name = nameOf(row.id)
    const contents = await visit(name, async inside => {
      let applied: number[] = []
      for (const set of sets) {
        if (set === tenantSet) await adopt(inside, set, row.baseline)
        const done = await migrate(inside, set)
        if (set === tenantSet) applied = done
      }
      await refuseOtherOwners(inside, name)
      await inside`analyze`
      await inside`
        insert into distributed_tenant.certificate (certificate) values (${certificate}) on conflict (only_row) do nothing`
      return applied.length > 0 ? digestOf(inside) : row.contents
    })
    const handed = await note(begun, { contents })
    await session(sql => commentDatabase(sql, name, markText({ tenant: row.id, service, certificate })))
    report({ type: 'handed_over', id: row.id })
    return note(handed, { step: 'accepted' })
  }

  async function bring(row: TransferTenant): Promise<TransferTenant> {
    if (!['frozen', 'copying', 'copied', 'verified'].includes(row.step)) return row
    // Also after a kill: whatever happened in between, from here on nobody writes.
    const frozenAt = row.step === 'frozen' && row.frozen?.at ? row.frozen.at : await close(row)
    let now = row
    if (now.step === 'frozen' || now.step === 'copying') now = await copy(now)
    if (now.step === 'copied') now = await verify(now, frozenAt)
    return handOver(now)
  }

  async function ready(row: TransferTenant): Promise<TransferTenant> {
    if (row.step !== 'registering') return row
    const deadline = performance.now() + READY_MS
    for (;;) {
      const known = await findTenant(central, row.id)
      if (known?.certificate && known.certificate !== row.certificate) {
        throw new TransferFailed(
          `${service} has another database for ${row.id} than the one that was brought: look at \`distributed-tenant doctor\`.`,
        )
      }
      if (known?.provisioned === 'ready') return note(row, { step: 'ready', error: null })
      if (performance.now() > deadline) {
        throw new TransferFailed(
          `${service} did not take ${row.id} within ${READY_MS / 1000} s (${known?.lastError ?? 'it has not heard of it'}): check that the service runs, then go on with --resume.`,
        )
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }

  async function open(row: TransferTenant): Promise<void> {
    const { frozen } = row
    if (frozen) await source.visit(sql => thaw(sql, row.sourceDatabase, frozen))
    report({ type: 'thawed', id: row.id })
  }

  return {
    freeze: freezeStep,
    bring,
    registering: async row => (row.step === 'accepted' ? note(row, { step: 'registering' }) : row),
    ready,
    untouched: async row => {
      const found = await session(sql => inspectDatabase(sql, nameOf(row.id)))
      return found.state !== 'present' || (await visit(nameOf(row.id), digestOf)) === row.contents
    },
    async undo(row, step, error) {
      const begun = await note(row, { step: 'undoing', error })
      // What stands there and is not ours is none of our business: then there was never a copy.
      await dropOwn(begun).catch(error => {
        if (!(error instanceof TransferRefused)) throw error
      })
      report({ type: 'removed', id: row.id })
      await open(begun)
      return note(begun, { step, frozen: null, certificate: null, contents: null })
    },
    async thaw(row) {
      if (!row.frozen) return row
      await open(row)
      return note(row, { frozen: null })
    },
  }
}

const digestOf = async (sql: Pick<SqlClient, 'begin'>): Promise<string> => contentsDigest(await readContents(sql))

export async function isEmpty(sql: SqlClient): Promise<boolean> {
  const rows = await sql`
    select 1 from pg_class join pg_namespace n on n.oid = relnamespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_toast' limit 1`
  return rows.length === 0
}

/** As the source is: text sorts and compares as it did, or the server says that it cannot. */
export async function creation(sql: QueryClient, from: string, to: string): Promise<string> {
  const [row] = await sql<{ statement: string }[]>`
    select format('create database %I template template0 encoding %L lc_collate %L lc_ctype %L strategy wal_log', ${to}::text,
        pg_encoding_to_char(encoding), datcollate, datctype)
      || case when to_jsonb(d) ->> 'datlocprovider' = 'i'
           then format(' locale_provider icu icu_locale %L', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
           else '' end as statement
    from pg_database d where datname = ${from}`
  if (!row) throw new TransferRefused(`The source has no database ${from} any more: make the plan again.`)
  return row.statement
}

/** The schema is at this version already: its migrations are noted as applied, and not run. */
async function adopt(sql: SqlClient, set: MigrationSet, version: number): Promise<void> {
  for (const migration of set.migrations.slice(0, version)) {
    await sql`
      insert into distributed_tenant.schema_migrations (set, version, name, checksum)
      values (${set.name}, ${migration.version}, ${migration.name}, ${migration.checksum}) on conflict do nothing`
  }
}

async function refuseOtherOwners(sql: SqlClient, name: string): Promise<void> {
  const [other] = await sql<{ what: string }[]>`
    select format('%I.%I', nspname, relname) as what from pg_class c join pg_namespace n on n.oid = relnamespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
      and relowner <> (select oid from pg_roles where rolname = current_user)
      and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e') limit 1`
  if (other)
    throw new TransferFailed(
      `${other.what} in ${name} does not belong to the service’s role: the copy was made by somebody else.`,
    )
}
