// The reader of NATS_URL: servers and credentials.
// Invariant: credentials leave this file only as connect options; no error text made here holds any part of the URL.

export interface Address {
  /** host:port of each server, without credentials: safe to show. */
  readonly servers: string[]
  /** The same without their ports, an IPv6 address without its brackets: what a certificate must name. */
  readonly hosts: string[]
  readonly credentials: { user: string; pass: string } | { token: string } | null
  readonly tls: boolean
  /** Removes the credentials from a text, should a library ever quote them. */
  redact(text: string): string
}

/** Reads `nats://user:password@host:port[,host:port…]`, `tls://` for TLS; a user without password is a token. Throws TypeError. */
export function parseAddress(urls: string): Address {
  const parts = urls
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
  if (parts.length === 0) throw new TypeError('the NATS URL is empty; it looks like nats://user:password@host:4222')
  const parsed = parts.map(part => parseOne(part.includes('://') ? part : `nats://${part}`))
  const tls = parsed.some(url => url.protocol === 'tls:')
  const withUser = parsed.find(url => url.username !== '')
  const user = decode(withUser?.username ?? '')
  const pass = decode(withUser?.password ?? '')
  const secrets = [pass === '' ? user : pass, withUser?.password ?? ''].filter(secret => secret.length > 2)
  return {
    servers: parsed.map(url => `${url.hostname}:${url.port || '4222'}`),
    hosts: parsed.map(url => url.hostname.replace(/^\[|\]$/g, '')),
    credentials: user === '' ? null : pass === '' ? { token: user } : { user, pass },
    tls,
    redact: text => secrets.reduce((out, secret) => out.replaceAll(secret, '***'), text),
  }
}

function parseOne(text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new TypeError('the NATS URL cannot be read; it looks like nats://user:password@host:4222')
  }
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:')
    throw new TypeError('the NATS URL must begin with nats:// or tls://')
  if (url.hostname === '') throw new TypeError('the NATS URL names no host')
  return url
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new TypeError('the user or password in the NATS URL is not percent-encoded correctly')
  }
}
