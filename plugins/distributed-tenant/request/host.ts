// The strict reader of a Host header, which never normalises a host into validity. One trailing dot and upper case are the
// only spellings accepted, because DNS accepts them.
import net from 'node:net'
import type { FastifyRequest } from 'fastify'
import { HostInvalid } from '../errors.js'

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const addressLiteral = /^\[[0-9a-f:.]+\]$/

/**
 * The host name in lower case without port and trailing dot; null for an address, a bare name like `localhost`, or none.
 * @throws HOST_INVALID
 */
export function parseHost(value: string | undefined): string | null {
  if (value === undefined || value === '') return null
  if (value.length > 262) throw new HostInvalid()
  const { name, port } = split(value)
  if (port !== null && !(/^\d{1,5}$/.test(port) && Number(port) <= 65535)) throw new HostInvalid()
  const host = name.toLowerCase().replace(/\.$/, '')
  if (addressLiteral.test(host) || net.isIP(host)) return null
  // Checked before lower-casing could fold a non-ASCII letter into an ASCII one.
  if (!/^[a-zA-Z0-9.-]+$/.test(name) || host.length > 253) throw new HostInvalid()
  const labels = host.split('.')
  if (!labels.every(part => label.test(part))) throw new HostInvalid()
  return labels.length === 1 ? null : host
}

function split(value: string): { name: string; port: string | null } {
  const end = value.startsWith('[') ? value.indexOf(']') + 1 : value.length
  const colon = value.lastIndexOf(':')
  if (value.startsWith('[')) {
    return { name: value.slice(0, end), port: end === value.length ? null : value.slice(end).replace(/^:/, '') }
  }
  return colon < 0 ? { name: value, port: null } : { name: value.slice(0, colon), port: value.slice(colon + 1) }
}

/**
 * The host of a request: the one that a trusted proxy forwards, else the Host header.
 * @throws HOST_INVALID for a repeated one, a forwarded list, or one that contradicts the request line
 */
export function hostOf(request: FastifyRequest): string | null {
  const { rawHeaders, url } = request.raw
  let seen = 0
  let forwarded = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 4 && name.toLowerCase() === 'host' && ++seen > 1) throw new HostInvalid()
    if (name.length === 16 && name.toLowerCase() === 'x-forwarded-host') {
      // Which of several the proxy meant is unknown; without trust the header is not read.
      if ((++forwarded > 1 || rawHeaders[at + 1]?.includes(',')) && trusts(request)) throw new HostInvalid()
    }
  }
  const host = hostNamed(request.host)
  if (url?.startsWith('/') === false && url !== '*') {
    const target = URL.canParse(url) ? new URL(url).host : ''
    if (parseHost(target) !== host) throw new HostInvalid()
  }
  return host
}

/** The last names that were read; few services have many, and reading one costs more than the rest of its lookup. */
const read = new Map<string, string | null>()
const MOST_READ = 1_000

function hostNamed(value: string): string | null {
  let host = read.get(value)
  if (host === undefined) {
    host = parseHost(value)
    // A client that sends other names each time makes it slower, not larger.
    if (read.size >= MOST_READ) read.clear()
    read.set(value, host)
  }
  return host
}

/** Fastify lists a request's addresses only when it is configured to trust proxies. */
const trusts = (request: FastifyRequest): boolean => request.ips !== undefined
