// The CPU of an import by process. Of the processes themselves, so that other programs on the machine are not in it: a
// server's is its first process with what that has reaped, and its living backends. What a process has not reaped yet is missed.
import { readFileSync } from 'node:fs'
import { descendants } from '../../stack/processes.js'

export const parts = ['targets', 'source', 'programs', 'services', 'command'] as const

/** Milliseconds by part. */
export type Used = Readonly<Record<(typeof parts)[number], number>>

export interface Watched {
  readonly targets: readonly number[]
  readonly source: number
  /** With the servers between them. */
  readonly services: readonly number[]
  /** The parent of the programs that copy. */
  readonly command: number
}

/** Ticks of a hundredth of a second, which Linux counts in whatever its own clock is. */
const TICK_MS = 10

/** So far. */
export function usedBy({ targets, source, services, command }: Watched): Used {
  const own = read(command)
  return {
    targets: sum(targets.map(ofServer)),
    source: ofServer(source),
    programs: own.reaped,
    services: sum(services.map(pid => read(pid).own)),
    command: own.own,
  }
}

export const usedSince = (before: Used, after: Used): Used =>
  Object.fromEntries(parts.map(part => [part, after[part] - before[part]])) as Used

function ofServer(pid: number): number {
  return sum([pid, ...descendants(pid)].map(one => sum(Object.values(read(one)))))
}

function read(pid: number): { own: number; reaped: number } {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return { own: 0, reaped: 0 }
  }
  // Behind the command's name, which may hold anything: see proc(5), fields 14 to 17.
  const [user = 0, system = 0, reapedUser = 0, reapedSystem = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(ticks => Number(ticks) * TICK_MS)
  return { own: user + system, reaped: reapedUser + reapedSystem }
}

const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0)
