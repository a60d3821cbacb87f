// One client of the hunt: sends one request after another, each of a random kind for a random tenant, disconnects in the middle
// of some, and judges every reply. Invariant: a reply is right only with its own tenant's secret and nothing left over.
import { setTimeout as sleep } from 'node:timers/promises'
import { tenantHeader } from '../arm.js'
import { HttpConnection, type HttpReply } from '../http-connection.js'
import type { Findings } from './findings.js'

export interface Target {
  readonly port: number
  readonly tenants: readonly string[]
  readonly secrets: ReadonlyMap<string, string>
}

/** How often each kind of request is sent, in all shares. */
const kinds = [
  ['read', 40],
  ['write', 12],
  ['transaction', 10],
  ['rollback', 5],
  ['throw', 5],
  ['unsafe', 4],
  ['leave', 10],
  ['stream', 2],
  ['careless', 1],
  ['abort before reply', 2],
  ['abort mid-body', 2],
  ['abort after body', 2],
  ['abort mid-stream', 1],
] as const

type Kind = (typeof kinds)[number][0]

const everything = kinds.flatMap(([kind, share]) => Array.from({ length: share }, () => kind))

export interface HunterOptions {
  readonly target: Target
  readonly findings: Findings
  readonly random: () => number
  /** The number of the next request, or null when enough has been sent. */
  readonly next: () => number | null
}

/** So many tenants are busy at a time; with the requests the window moves over all of them. */
const BUSY_TENANTS = 30
const REQUESTS_A_TENANT = 50
/** After a 503. */
const RETRY_MS = 20
/** Share of requests for any tenant, most of which have no connection. */
const STRAY = 0.02

export async function hunt({ target, findings, random, next }: HunterOptions): Promise<void> {
  const connection = new HttpConnection(target.port, true)
  const { tenants } = target
  for (let number = next(); number !== null; number = next()) {
    const kind = everything[Math.floor(random() * everything.length)] as Kind
    const at =
      random() < STRAY
        ? random() * tenants.length
        : number / REQUESTS_A_TENANT + random() * Math.min(BUSY_TENANTS, tenants.length)
    const tenant = tenants[Math.floor(at) % tenants.length] as string
    const token = `r${number}`
    const reply = await ask(connection, kind, tenant, token, random)
    findings.sent(kind)
    judge(kind, tenant, reply)
    if (reply.status === 200 && (kind === 'write' || kind === 'transaction')) findings.confirmed(token)
    // As a client that retries would, and not in a hot loop while a server is down.
    if (reply.status === 503) await sleep(RETRY_MS)
  }
  connection.cut()

  function judge(kind: Kind, tenant: string, { status, body }: HttpReply): void {
    if (kind.startsWith('abort')) return
    if (status === 418 && (kind === 'throw' || kind === 'rollback')) return
    if (status !== 200) {
      findings.failed(kind, status, body)
      return
    }
    const secret = target.secrets.get(tenant) as string
    for (const line of body.split('\n')) {
      // Between the lines of a chunked reply stand the lengths of its chunks.
      if (!line.startsWith('{')) continue
      findings.replied(kind, tenant, secret, JSON.parse(line) as Record<string, unknown>)
    }
  }
}

function ask(
  connection: HttpConnection,
  kind: Kind,
  tenant: string,
  token: string,
  random: () => number,
): Promise<HttpReply> {
  return new Promise(done => {
    let timer: NodeJS.Timeout | undefined
    const resolve = (reply: HttpReply): void => {
      clearTimeout(timer)
      done(reply)
    }
    const post = () => {
      const body = JSON.stringify({ token, filler: 'x'.repeat(kind === 'write' ? 10 : 4_000) })
      return [head('POST', '/write', tenant, body.length), body] as const
    }
    const cutSoon = (): void => {
      timer = setTimeout(() => connection.cut(), random() * 6)
    }
    switch (kind) {
      case 'write':
        return connection.send(post().join(''), resolve)
      case 'abort mid-body': {
        const [start, body] = post()
        connection.send(start + body.slice(0, 1_000), resolve)
        return cutSoon()
      }
      case 'abort after body':
        connection.send(post().join(''), resolve)
        return cutSoon()
      case 'abort before reply':
        connection.send(head('GET', random() < 0.5 ? '/read' : `/transaction/${token}`, tenant), resolve)
        return cutSoon()
      case 'abort mid-stream':
        return connection.send(head('GET', '/stream', tenant), resolve, () => connection.cut())
      case 'leave':
        return connection.send(head('GET', `/leave/${Math.floor(random() * 1_000)}`, tenant), resolve)
      case 'transaction':
      case 'rollback':
        return connection.send(head('GET', `/${kind}/${token}`, tenant), resolve)
      default:
        return connection.send(head('GET', `/${kind}`, tenant), resolve)
    }
  })
}

function head(method: string, path: string, tenant: string, length?: number): string {
  const body = length === undefined ? '' : `content-type: application/json\r\ncontent-length: ${length}\r\n`
  return `${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${tenantHeader}: ${tenant}\r\n${body}\r\n`
}
