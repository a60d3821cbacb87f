// The comparison of a service's registry with identity's own, in their central databases: it needs no service to run, and finds
// what an identity has lost that was set back or promoted from an asynchronous standby.
// Without identity's database: what the service found when it last read all of identity's feed.

import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { OpenService } from '../open-services.js'
import { type Problem, problem } from './problem.js'

interface Row {
  readonly id: TenantId
  readonly name: string
  readonly incarnation: string | null
  readonly lifecycle: 'active' | 'suspended' | 'deleted'
  /** Unchanged for a minute: the service had time to read it from the feed. */
  readonly settled: boolean
  /** There for five minutes: what one side accepts is in the other's registry by then. */
  readonly grown: boolean
}

/** @param identity null when its database is not among those the command has opened, or when it is `service` itself */
export async function againstIdentity(
  { name, tenancy }: OpenService,
  identity: OpenService | null,
): Promise<Problem[]> {
  if (name === identity?.name) return []
  // The service first: a tenant that it has is in identity's registry by then.
  const here = await rowsOf(tenancy, false)
  if (!identity) {
    const doubted = await tenancy.transfer.central<{ id: TenantId }[]>`
      select id from feed_doubts where kind = 'unknown' order by id`
    const rows = new Map(here.map(row => [row.id, row]))
    return doubted.flatMap(({ id }) => {
      const row = rows.get(id)
      return row ? [unknown(row)] : []
    })
  }
  const there = new Map((await rowsOf(identity.tenancy, true)).map(row => [row.id, row]))
  const known = new Set(here.map(({ id }) => id))
  const found = here.flatMap(row => {
    const its = there.get(row.id)
    if (!its) return row.incarnation !== null || row.grown ? [unknown(row)] : []
    return differing(name, row, its)
  })
  for (const { id, lifecycle, grown } of there.values()) {
    if (lifecycle !== 'deleted' && grown && !known.has(id))
      found.push(problem('missing here', id, `identity has it: is ${name} running, does it reach IDENTITY_URL?`))
  }
  return found
}

/** Without those whose database was dropped; of identity all, as they say which ids were given away. */
function rowsOf({ transfer: { central } }: OpenService['tenancy'], all: boolean): Promise<Row[]> {
  return central<Row[]>`
    select id, name, incarnation, lifecycle, updated_at < now() - interval '1 minute' as settled,
      created_at < now() - interval '5 minutes' as grown
    from tenants where ${all} or provisioned <> 'removed' order by id`
}

function unknown({ id, name, incarnation }: Row): Problem {
  const again = `\`create ${plain(name)} --id ${id}`
  return problem(
    'unknown to identity',
    id,
    incarnation === null
      ? `identity has lost or refused it: see \`dead list --service identity\`; ${again}\` accepts it, with its data`
      : `identity has lost it: ${again} --incarnation ${incarnation}\` gives it back, with its data; it is served meanwhile`,
  )
}

function differing(service: string, row: Row, its: Row): Problem[] {
  const { id } = row
  if (row.incarnation !== null && its.incarnation !== null && row.incarnation !== its.incarnation) {
    return [
      problem(
        'other incarnation than identity’s',
        id,
        `identity has given the id away again, and ${service} serves the earlier tenant until it reads the feed: is it running, does it reach IDENTITY_URL? docs/troubleshooting.md, "another incarnation"`,
      ),
    ]
  }
  if (row.lifecycle === its.lifecycle || !its.settled) return []
  return [
    problem(
      `${row.lifecycle}, and ${its.lifecycle} in identity`,
      id,
      `is ${service} running, does it reach IDENTITY_URL? It takes identity’s state with the next reading of the feed`,
    ),
  ]
}

/** For a command line to be copied: the name may hold any text. */
const plain = (name: string): string => (/^[\p{L}\p{N} .-]+$/u.test(name) ? `"${name}"` : '<name>')
