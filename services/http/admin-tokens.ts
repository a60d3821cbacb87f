// The operator's tokens that are valid now: those of the start, or those in the file of ADMIN_TOKEN_FILE, which is read again
// every few seconds, so that a token is replaced without a restart. Only a content that was read twice counts, as a file may be
// read while it is written. If the file is missing or holds no token: the known ones stay valid, and the log says so once.
import { readFile } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import { NoText, textOf } from '../../plugins/distributed-tenant/index.js'
import { later } from '../../timing/timers.js'
import { type Bearers, bearersOf } from './admin.js'

export interface AdminTokens extends Bearers {
  /** Calls back when the tokens have changed; returns how to stop that. */
  onChange(listener: () => void): () => void
  close(): void
}

/** As ADMIN_TOKEN in the environment. */
const TOKENS = /^[\x21-\x2b\x2d-\x7e]{16,}(,[\x21-\x2b\x2d-\x7e]{16,})*$/

export interface AdminTokenOptions {
  /** Several are separated by commas. Without one every request is refused. */
  readonly tokens: string | undefined
  /** The file that is read again. */
  readonly path: string | undefined
  readonly log: FastifyBaseLogger
  /** Default 5,000. */
  readonly lookMs?: number
}

export function createAdminTokens({ tokens = '', path, log, lookMs = 5_000 }: AdminTokenOptions): AdminTokens {
  const listeners = new Set<() => void>()
  let known = tokens
  let bearers = bearersOf(known.split(',').filter(Boolean))
  let flaw: string | null = null
  let seen: string | null = null
  let stop: (() => void) | undefined
  let closed = false

  function report(now: string | null): void {
    if (now !== null && now !== flaw) {
      log.warn({ reason: now }, 'ADMIN_TOKEN_FILE holds no tokens; the known ones stay valid')
    }
    flaw = now
  }

  async function look(file: string): Promise<void> {
    let text: string
    try {
      text = textOf(await readFile(file)).replace(/\r?\n$/, '')
    } catch (error) {
      report(error instanceof NoText ? `it ${error.message}` : ((error as NodeJS.ErrnoException).code ?? 'unknown'))
      return
    }
    if (!TOKENS.test(text)) {
      report('not random tokens of 16 characters or more, separated by commas')
      return
    }
    report(null)
    const settled = text === seen
    seen = text
    if (text === known || !settled) return
    known = text
    bearers = bearersOf(text.split(','))
    log.info('the tokens of the operator have changed')
    for (const listener of listeners) listener()
  }

  /** One read after the other: an older one never overrides a newer. */
  function lookLater(file: string): void {
    const work = () => look(file).finally(() => closed || lookLater(file))
    stop = later(lookMs, work, error => log.error({ err: error }, 'the tokens of the operator cannot be read'))
  }

  if (path) lookLater(path)
  return {
    accepts: token => bearers.accepts(token),
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close() {
      closed = true
      stop?.()
    },
  }
}
