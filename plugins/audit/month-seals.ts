// The signature of sealed heads: a list of how far each chain had come, with a MAC by a secret that the database does not
// hold. Kept outside (a log stream, a file), it reveals rows and heads that were rewritten together.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Head } from './store.js'

export interface Seal {
  readonly service: string
  readonly heads: readonly Head[]
  /** HMAC-SHA-256, hex; null without a secret. */
  readonly signature: string | null
}

export function sign(service: string, heads: readonly Head[], secret: string | undefined): Seal {
  const ordered = [...heads].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1))
  return { service, heads: ordered, signature: secret ? mac(service, ordered, secret) : null }
}

/** Whether this service signed a seal with this secret. */
export function isGenuine({ service, heads, signature }: Seal, secret: string): boolean {
  if (signature === null) return false
  const expected = Buffer.from(mac(service, heads, secret))
  const given = Buffer.from(signature)
  return expected.length === given.length && timingSafeEqual(expected, given)
}

const textOf = ({ month, chain, seq, hash }: Head): string => JSON.stringify([month, chain, seq, hash])

const mac = (service: string, heads: readonly Head[], secret: string): string =>
  createHmac('sha256', secret)
    .update(JSON.stringify([service, heads.map(textOf)]))
    .digest('hex')
