// Facts about processes from the operating system: alive or not, parents, and the start time that distinguishes a process
// from a later one with the same number. Reads /proc, or asks `ps` where there is no /proc.
// A zombie counts as ended: it holds no port and no file, and a container's first process may never reap it.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface ProcessFact {
  pid: number
  parent: number
  started: string
  command: string
}

const hasProc = existsSync('/proc/self/stat')

/** The living process of that number, or undefined. */
export function look(pid: number): ProcessFact | undefined {
  if (!hasProc) return fromPs(['-p', String(pid)])[0]
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The command's name stands in brackets and may itself hold brackets and spaces: the fields begin after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, parent] = fields
  if (state === 'Z' || state === 'X') return undefined
  const command = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
  return { pid, parent: Number(parent), started: fields[19] ?? '', command }
}

export function alive(pid: number): boolean {
  return look(pid) !== undefined
}

/** Every living descendant of a process. PostgreSQL's backends leave their parent's group, so a group is not enough. */
export function descendants(pid: number): number[] {
  const all = everyProcess()
  const found = [pid]
  for (const one of found) {
    for (const fact of all) if (fact.parent === one) found.push(fact.pid)
  }
  return found.slice(1)
}

/** Sends a signal to a process, its group and its descendants. What is gone already is no error. */
export function signalTree(pid: number, signal: NodeJS.Signals): void {
  // Held still first, so that it starts nothing new between the listing and the signal.
  if (signal === 'SIGKILL') send(pid, 'SIGSTOP')
  const children = descendants(pid)
  send(-pid, signal)
  send(pid, signal)
  for (const child of children) send(child, signal)
}

export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already, which is what most senders wanted.
  }
}

/** True once none of the processes lives any more, false when the time is over before that. */
export async function waitGone(pids: number[], milliseconds: number): Promise<boolean> {
  const end = performance.now() + milliseconds
  for (;;) {
    if (!pids.some(alive)) return true
    if (performance.now() >= end) return false
    await sleep(15)
  }
}

function everyProcess(): ProcessFact[] {
  if (!hasProc) return fromPs(['-A'])
  const facts: ProcessFact[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const fact = look(Number(entry))
    if (fact) facts.push(fact)
  }
  return facts
}

function fromPs(which: string[]): ProcessFact[] {
  let output: string
  try {
    output = execFileSync('ps', ['-o', 'pid=,ppid=,stat=,lstart=,comm=', ...which], { encoding: 'utf8' })
  } catch {
    return []
  }
  const facts: ProcessFact[] = []
  for (const line of output.split('\n')) {
    const [pid, parent, state, ...rest] = line.trim().split(/\s+/)
    if (!pid || !state || state.startsWith('Z')) continue
    // lstart is five fields: "Mon Nov 23 06:27:11 2026".
    const started = rest.slice(0, 5).join(' ')
    const command = rest.slice(5).join(' ').split('/').pop() ?? ''
    facts.push({ pid: Number(pid), parent: Number(parent), started, command })
  }
  return facts
}
