// Disturbances of a copy in tests: a proxy to a server that is cut in the middle, a server whose files may not grow, and a copy that
// waits for the test.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * No file of a session that begins from now on grows beyond this: the write fails as on a disk that is full. Null:
 * without a limit.
 */
export function limitFiles(server: { readonly pid: number }, bytes: number | null): void {
  const pid = String(server.pid)
  // With the user of the process, which alone may change it.
  const { uid, gid } = statSync(`/proc/${pid}`)
  execFileSync('prlimit', ['--pid', pid, `--fsize=${bytes ?? 'unlimited'}:`], { uid, gid, cwd: '/' })
}

export interface HeldCopy {
  /** For --programs. */
  readonly programs: string
  /** The next copies wait. */
  hold(): void
  go(): void
}

/** Client programs whose copy waits until `go`; the plan, which tries the definitions, does not. @param of one database alone */
export function heldCopy(folder: string, of = '*'): HeldCopy {
  const programs = mkdtempSync(join(folder, 'programs-'))
  const go = join(programs, 'go')
  const lines = [
    '#!/bin/sh',
    'case "$*" in --version|*--schema-only*) exec pg_dump "$@";; esac',
    `case "$PGDATABASE" in ${of}) while [ ! -e '${go}' ]; do sleep 0.1; done;; esac`,
    'exec pg_dump "$@"',
  ]
  writeFileSync(join(programs, 'pg_dump'), `${lines.join('\n')}\n`, { mode: 0o755 })
  writeFileSync(join(programs, 'pg_restore'), '#!/bin/sh\nexec pg_restore "$@"\n', { mode: 0o755 })
  return { programs, hold: () => rmSync(go, { force: true }), go: () => writeFileSync(go, '') }
}

export interface Cuttable {
  readonly port: number
  /** The count of cuts since the last order. */
  cuts(): number
  /** Cuts a connection that has carried so many bytes; then it serves the next, or refuses all. */
  cutAfter(bytes: number, then: 'once' | 'and refuse', way?: Way): void
  heal(): void
}

/** From the server, or to it. */
type Way = 'out' | 'in'

/** A proxy to the server that is cut once a connection has carried so much. */
export async function cuttable(t: Pick<Test, 'teardown'>, server: { host: string; port: number }): Promise<Cuttable> {
  let most = Number.POSITIVE_INFINITY
  let how: 'once' | 'and refuse' = 'once'
  let way: Way = 'out'
  let refusing = false
  let cuts = 0
  const sockets = new Set<Socket>()

  const proxy = createServer(client => {
    if (refusing) {
      client.resetAndDestroy()
      return
    }
    const upstream = connect(server.port, server.host)
    let carried = 0
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    for (const [from, direction] of [
      [upstream, 'out'],
      [client, 'in'],
    ] as const) {
      from.on('data', chunk => {
        if (direction !== way) return
        carried += chunk.length
        if (carried <= most) return
        cuts++
        most = Number.POSITIVE_INFINITY
        refusing = how === 'and refuse'
        for (const socket of refusing ? sockets : [client, upstream]) socket.resetAndDestroy()
      })
    }
    client.pipe(upstream)
    upstream.pipe(client)
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const address = proxy.address() as { port: number }
  return {
    port: address.port,
    cuts: () => cuts,
    cutAfter(bytes, then, direction = 'out') {
      most = bytes
      how = then
      way = direction
      cuts = 0
    },
    heal() {
      most = Number.POSITIVE_INFINITY
      refusing = false
    },
  }
}
