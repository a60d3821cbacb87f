// The rehearsal of a move: the tenant's definitions are made on the target instance, in a database of its own
// there, which is dropped again. Nothing of the tenant's is touched.
import type { BesideDump } from '../copying/beside-dump.js'
import type { Contents } from '../copying/compare-contents.js'
import type { Programs } from '../copying/pg-programs.js'
import { rehearse } from '../copying/rehearsal.js'
import type { MoveParts } from './parts.js'
import { instanceAt } from './reach-instance.js'

/** @returns the definitions as they are spelled there. @throws TRANSFER_FAILED with the object that cannot be made */
export async function rehearseMove(
  parts: MoveParts,
  how: {
    readonly programs: Programs
    readonly database: string
    readonly from: string
    readonly to: string
    readonly beside: BesideDump
  },
): Promise<Contents> {
  const { programs, database, from, to, beside } = how
  const { address: out } = instanceAt(parts, from)
  const { address: into } = instanceAt(parts, to)
  const stage = {
    session: parts.sessionAt(to),
    withDirectConnection: <T>(name: string, fn: Parameters<typeof parts.withDirectConnection<T>>[1]): Promise<T> =>
      parts.withDirectConnection(name, fn, to),
  }
  return rehearse(stage, {
    service: parts.service,
    ...beside,
    fill: name => programs.pipe({ ...out, database }, { ...into, database: name }, { whole: true, definitions: true }),
  })
}
