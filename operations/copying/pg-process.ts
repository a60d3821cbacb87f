// The process of one of PostgreSQL's client programs: its environment, input and output, its end, and its error output
// as the reason of a failure.
// If a program cannot be started: the error names the package that has it.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { addressIn } from '../pg-address.js'
import { APPLICATION } from './external-instance.js'

/** The reader of a pipe has ended. */
const isOver = (error: unknown): boolean =>
  ['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED', 'ECONNRESET'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  )

/** Ends the program with the signal. @returns the end of that */
export function stopOn(signal: AbortSignal | undefined, child: ChildProcess): () => void {
  const stop = (): void => void child.kill()
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop)
  return () => signal?.removeEventListener('abort', stop)
}

/** PGDATABASE is a name and nothing else, where an argument with a name might be read as a connection string. */
export function environmentOf(environment: NodeJS.ProcessEnv, at: DatabaseOptions): NodeJS.ProcessEnv {
  const { user, password, database, ssl, sslRootCert } = at
  const kept = Object.entries(environment).filter(([name]) => !name.startsWith('PG'))
  return {
    ...Object.fromEntries(kept),
    ...addressIn(at),
    PGUSER: user,
    PGDATABASE: database,
    PGAPPNAME: APPLICATION,
    PGCONNECT_TIMEOUT: '10',
    PGSSLMODE: ssl,
    // Else a file in the user's home directory decides.
    PGPASSFILE: '/dev/null',
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    ...(sslRootCert === undefined ? {} : { PGSSLROOTCERT: sslRootCert }),
  }
}

const LAST_OUTPUT = 2_000

/** @throws TRANSFER_FAILED with the end of its error output; TRANSFER_REFUSED when it cannot be started */
export function ended(name: string, child: ChildProcess): Promise<void> {
  let output = ''
  child.stderr?.setEncoding('utf8')
  child.stderr?.on('data', (chunk: string) => {
    output = (output + chunk).slice(-LAST_OUTPUT)
  })
  return new Promise((resolve, reject) => {
    child.once('error', error => reject(missing(name, error)))
    child.once('close', (code, signal) => {
      if (code === 0) return resolve()
      const why = printable(output.trim()) || (signal ? `ended by ${signal}` : `exit code ${code}`)
      reject(new TransferFailed(`${name} failed: ${why}`))
    })
  })
}

/** @returns what it has written so far. Without a descriptor left for it, a program has no output. */
export function textOf(output: Readable | null | undefined): () => string {
  let text = ''
  output?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

/** Gives pg_restore a dump, until it ends. @throws the dump's own failure, else the program's */
export async function feed(
  child: ChildProcess,
  dump: Readable,
  { signal, readsAll }: { signal: AbortSignal | undefined; readsAll: boolean },
): Promise<void> {
  const stop = stopOn(signal, child)
  const fed = child.pid === undefined ? undefined : pipeline(dump, child.stdin as NodeJS.WritableStream)
  const [ending, feeding] = await Promise.allSettled([ended('pg_restore', child), fed]).finally(stop)
  const unfed = feeding.status === 'rejected' ? (feeding.reason as Error) : null
  // Of a dump that cannot be read the program sees an early end. One that has given up no longer reads: its own error is the reason.
  if (unfed && !isOver(unfed)) throw unfed
  if (ending.status === 'rejected') throw ending.reason
  if (unfed && readsAll) throw unfed
}

/** Names of objects may hold anything, also control sequences of a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
const printable = (text: string): string => text.replace(/\s+/g, ' ').replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')

/** Each end of a pipe fails when the other one does: both are reported, unless one could not even be started. */
export function throwFirstOrBoth(failures: readonly Error[]): void {
  const refused = failures.find(error => error instanceof TransferRefused)
  if (refused) throw refused
  if (failures.length > 0) throw new TransferFailed(failures.map(({ message }) => message).join('; '))
}

const missing = (name: string, error: Error): Error =>
  new TransferRefused(
    `${name} cannot be started (${(error as NodeJS.ErrnoException).code ?? error.message}): install PostgreSQL’s client programs (Debian: postgresql-client), or name their folder with --programs.`,
  )

export interface Release {
  readonly major: number
  readonly minor: number
}

/** @throws TRANSFER_REFUSED when the program cannot be started, or does not print a version */
export function releaseOf(program: string, environment: NodeJS.ProcessEnv): Promise<Release> {
  const child = spawn(program, ['--version'], { stdio: ['ignore', 'pipe', 'pipe'], env: environment })
  const output = textOf(child.stdout)
  const name = program.slice(program.lastIndexOf('/') + 1)
  return ended(name, child).then(() => {
    // A beta has no minor version: `19beta1`.
    const [, major, minor = '0'] = /\(PostgreSQL\) (\d+)(?:\.(\d+))?/.exec(output()) ?? []
    if (major === undefined)
      throw new TransferRefused(`${name} does not say its version: check the folder in --programs.`)
    return { major: Number(major), minor: Number(minor) }
  })
}
