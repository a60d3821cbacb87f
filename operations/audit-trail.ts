// The audit rows of this command's work with a customer's data: in each service it touches, before it begins and
// when it has ended, in a chain of its own. Invariant: without the first row the work is not begun.
import { hostname, userInfo } from 'node:os'
import { type AuditRecord, createChain } from '../plugins/audit/rows.js'
import { ensurePartitions, writeRows } from '../plugins/audit/store.js'
import type { SqlClient } from '../plugins/distributed-tenant/types.js'
import type { OpenService } from './open-services.js'

export interface Deed {
  /** `backup`, `restore`, `export`, `move`. */
  readonly command: string
  readonly tenant: string | null
  /** Nothing secret. */
  readonly detail: Readonly<Record<string, unknown>>
  /** Default {@link operatorName}. */
  readonly actor?: string
}

const WRITE_MS = 10_000

/** The log of each service has its partitions: they are made for this month and the next. */
const ensured = new WeakSet<SqlClient>()

async function ensureOnce(central: SqlClient): Promise<void> {
  if (ensured.has(central)) return
  await ensurePartitions(central, new Date())
  ensured.add(central)
}

/** In all services at once, to their end. @throws the first failure */
async function inEach<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const ends = await Promise.allSettled(all.map(work))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** The user and machine that run the command. */
export function operatorName(): string {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // A container's user need not have a name.
    return `uid ${process.getuid?.() ?? 'unknown'}@${hostname()}`
  }
}

/**
 * @param work its result goes into the row of the end
 * @throws when the first row cannot be written, and then nothing was begun; else the error of `work`
 */
export async function underAudit<T>(
  services: readonly Pick<OpenService, 'tenancy'>[],
  { command, tenant, detail, actor = operatorName() }: Deed,
  work: (add: (more: Record<string, unknown>) => void) => Promise<T>,
): Promise<T> {
  const chains = services.map(({ tenancy }) => ({ central: tenancy.transfer.central, chain: createChain() }))
  const write = (...records: AuditRecord[]): Promise<void> =>
    inEach(chains, async ({ central, chain }) => {
      const rows = chain.place(records)
      await writeRows(central, rows, WRITE_MS)
      chain.advance(rows)
    })
  let detailSoFar: Record<string, unknown> = { command, ...detail }
  const deed = (result: string): AuditRecord => ({
    kind: 'admin',
    result,
    tenantId: tenant,
    actor,
    detail: detailSoFar,
  })
  await inEach(chains, ({ central }) => ensureOnce(central))
  await write({ kind: 'process', result: 'started', detail: { command, pid: process.pid } }, deed('begun'))
  const end = (result: string): Promise<void> => write(deed(result), { kind: 'process', result: 'ended' })
  let done: T
  try {
    done = await work(more => {
      detailSoFar = { ...detailSoFar, ...more }
    })
  } catch (error) {
    // It often fails together with the database of this row, and its own reason is the one to read.
    await end(String((error as { code?: string }).code ?? 'failed')).catch(() => {})
    throw error
  }
  await end('ok')
  return done
}
