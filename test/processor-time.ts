// Processor time of test processes and of all children that they have waited for, from Linux's /proc: what a file costs
// on a machine that does other work too, where its seconds say little. A child that outlives its parent is in no count.
import { type ChildProcess, execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Where the times stand after the name of the command, in clock ticks (proc(5)). */
const USER = 11
const SYSTEM = 12
const CHILDREN_USER = 13
const CHILDREN_SYSTEM = 14

export class ProcessorTime {
  readonly #perSecond = ticksPerSecond()
  #ended: number | null

  constructor() {
    this.#ended = this.#read('self', [CHILDREN_USER, CHILDREN_SYSTEM])
  }

  /** @returns seconds since its start, null where they are not known */
  of(child: ChildProcess): number | null {
    return this.#read(child.pid, [USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM])
  }

  /**
   * Of a child of this process, in its event `exit`. Of two that end in the same turn of the event loop the first has
   * the time of both.
   *
   * @returns seconds, null where they are not known
   */
  ofEnded(): number | null {
    const before = this.#ended
    this.#ended = this.#read('self', [CHILDREN_USER, CHILDREN_SYSTEM])
    return this.#ended === null || before === null ? null : this.#ended - before
  }

  #read(pid: number | 'self' | undefined, fields: readonly number[]): number | null {
    if (this.#perSecond === null || pid === undefined) return null
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      // The name of the command stands in brackets and may hold spaces and brackets.
      const values = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return fields.reduce((sum, field) => sum + Number(values[field]), 0) / this.#perSecond
    } catch {
      // No /proc, or the process is gone.
      return null
    }
  }
}

function ticksPerSecond(): number | null {
  try {
    return Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8', stdio: 'pipe' }))
  } catch {
    return null
  }
}
