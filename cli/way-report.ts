// Which way a command has reached each service, for people on standard error and in the document of --json as `through`.
import type { TenantWay } from '../operations/tenant-actions.js'
import type { Way } from '../operations/ways.js'
import type { Context } from './context.js'
import { printableLine } from './printable.js'

type Taken = Way | TenantWay

/** Before the work, so that it stands there also when the work fails. A document has it at its end, so then only faults are named. */
export function reportWays({ output, quiet }: Context, ways: Readonly<Record<string, Taken>>): void {
  if (quiet) return
  const asked = Object.entries(ways).filter(([, { way }]) => way === 'operator API')
  const sentences = asked.length > 0 ? [`Asked the operator API of ${asked.map(([name]) => name).join(', ')}.`] : []
  for (const [because, names] of reasons(ways)) {
    const { way, fault } = ways[names[0] as string] as Exclude<Taken, { way: 'operator API' }>
    if (output.json && !fault) continue
    const what =
      way === 'database' ? `Opened the database of ${names.join(', ')}` : 'Asked identity with the admin token'
    sentences.push(`${what}: ${because}.`)
  }
  if (output.json && !Object.values(ways).some(one => one.way !== 'operator API' && one.fault)) return
  process.stderr.write(`${printableLine(sentences.join(' '))}\n`)
}

/** Services of the same reason share a sentence. */
function reasons(ways: Readonly<Record<string, Taken>>): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const [name, one] of Object.entries(ways)) {
    if (one.way === 'operator API') continue
    found.set(one.because, [...(found.get(one.because) ?? []), name])
  }
  return found
}

/** For the document. */
export const documented = (ways: Readonly<Record<string, Taken>>): object =>
  Object.fromEntries(
    Object.entries(ways).map(([name, one]) => [
      name,
      one.way === 'operator API' ? { way: one.way, url: one.url } : { way: one.way, because: one.because },
    ]),
  )
