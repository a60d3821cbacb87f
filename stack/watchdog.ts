// The watchdog: a process of its own that outlives a launcher ended with SIGKILL and takes down what it left.
// Reads lines from its standard input (group <pid> <kind>, gone <pid>, folder|file <path>, forget <path>, done). At the end
// of input it removes the files, ends the groups, those who use others first, removes the folders, and exits. It never stays.
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { alive, descendants, look, send, signalTree, waitGone } from './processes.js'
import type { Kind } from './watch.js'

const order: Kind[] = ['service', 'nats', 'redis', 'postgres']
// PostgreSQL's "fast" shutdown is SIGINT; SIGTERM would wait for clients. For the others it is SIGTERM.
const politely: Record<Kind, NodeJS.Signals> = {
  service: 'SIGTERM',
  nats: 'SIGTERM',
  redis: 'SIGTERM',
  postgres: 'SIGINT',
}
const patience = 1500

interface Group {
  pid: number
  kind: Kind
  started: string
}

const groups = new Map<number, Group>()
const paths = new Map<string, 'folder' | 'file'>()

// A terminal's Ctrl-C or hang-up and a SIGTERM are for the launcher: this process ends when the pipe closes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

const input = createInterface({ input: process.stdin })
input.on('line', onLine)
input.on('close', finish)

function onLine(line: string): void {
  const space = line.indexOf(' ')
  const command = space < 0 ? line : line.slice(0, space)
  const rest = space < 0 ? '' : line.slice(space + 1)
  if (command === 'group') {
    const [pid, kind] = rest.split(' ')
    const fact = look(Number(pid))
    if (fact) groups.set(fact.pid, { pid: fact.pid, kind: kind as Kind, started: fact.started })
  } else if (command === 'gone') groups.delete(Number(rest))
  else if (command === 'folder' || command === 'file') paths.set(rest, command)
  else if (command === 'forget') paths.delete(rest)
  else if (command === 'done') {
    groups.clear()
    paths.clear()
  }
}

async function finish(): Promise<void> {
  // Files first: they show that the stack is up, and the next launcher may write its own in a moment.
  for (const [path, what] of paths) if (what === 'file') remove(path)
  for (const kind of order) {
    const ours = [...groups.values()].filter(group => group.kind === kind && sameProcess(group)).reverse()
    const everyone = ours.flatMap(group => [group.pid, ...descendants(group.pid)])
    for (const group of ours) {
      signalTree(group.pid, 'SIGCONT')
      send(group.pid, politely[kind])
    }
    await waitGone(everyone, patience)
    for (const group of ours) if (sameProcess(group)) signalTree(group.pid, 'SIGKILL')
    // A backend can outlive its postmaster; its number was listed while the postmaster was certainly ours.
    for (const pid of everyone) if (alive(pid)) send(pid, 'SIGKILL')
    await waitGone(everyone, patience)
  }
  for (const [path, what] of [...paths].reverse()) if (what === 'folder') remove(path)
  process.exit(0)
}

function sameProcess(group: Group): boolean {
  return look(group.pid)?.started === group.started
}

function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  } catch {
    // No reader is left.
  }
}
