// The reader of REDIS_URL: one server, the sentinels of a primary, or nodes of a Redis Cluster; each also with TLS.
// Invariant: no error text made here holds any part of the URL, as it has the password.
import { ConfigurationInvalid } from '../errors.js'

interface Node {
  readonly host: string
  readonly port: number
}

interface Common {
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
}

export type RedisAddress =
  /** As the client reads it: its options may be in the query. */
  | { readonly kind: 'server'; readonly tls: boolean; readonly url: string }
  | (Common & {
      readonly kind: 'sentinel'
      readonly sentinels: readonly Node[]
      /** The primary, as the sentinels name it. */
      readonly name: string
      readonly db: number
      readonly sentinelUsername: string | undefined
      readonly sentinelPassword: string | undefined
    })
  | (Common & { readonly kind: 'cluster'; readonly nodes: readonly Node[] })

const FORMS =
  'redis://:password@host:6379, redis+sentinel://:password@host-a:26379,host-b/name-of-the-primary, or redis+cluster://:password@host-a:6379,host-b; with rediss for TLS'
/** `scheme://login@hosts/path?query`; the last @ ends the login. */
const PARTS = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*(?:@[^@/]*)*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i

/** @throws CONFIGURATION_INVALID, which names the accepted forms */
export function parseRedisUrl(url: string): RedisAddress {
  const [, scheme = '', kind = '', login = '', hosts = '', path = '', query = ''] = PARTS.exec(url) ?? unreadable()
  const tls = scheme.toLowerCase() === 'rediss'
  if (kind === '') {
    if (!URL.canParse(url)) unreadable()
    return { kind: 'server', tls, url }
  }
  const [user = '', ...rest] = login.split(':')
  const common = { tls, username: decoded(user), password: decoded(rest.join(':')) }
  const questions = new URLSearchParams(query)
  const take = (name: string) => {
    const value = questions.get(name) ?? undefined
    questions.delete(name)
    return value
  }
  if (kind.toLowerCase() === 'cluster') {
    if (path !== '' && path !== '/' && path !== '/0') unreadable('a Redis Cluster has one database and no name')
    refuseRest(questions)
    return { ...common, kind: 'cluster', nodes: nodesOf(hosts, 6379) }
  }
  const [name = '', db = '0', ...more] = path.slice(1).split('/')
  if (name === '') unreadable('the name of the primary is missing, as its sentinels name it')
  if (!/^\d{1,5}$/.test(db) || more.length > 0) unreadable('behind the name there may be the number of a database')
  const sentinelUsername = take('sentinelUsername')
  const sentinelPassword = take('sentinelPassword')
  refuseRest(questions)
  return {
    ...common,
    ...{ kind: 'sentinel', sentinels: nodesOf(hosts, 26379), name: decoded(name) ?? '', db: Number(db) },
    ...{ sentinelUsername, sentinelPassword },
  }
}

function nodesOf(hosts: string, usual: number): Node[] {
  return hosts.split(',').map(one => {
    const [, bracketed, plain, port] =
      /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i.exec(one.trim()) ?? unreadable()
    return { host: bracketed ?? plain ?? '', port: port === undefined ? usual : Number(port) }
  })
}

function decoded(text: string): string | undefined {
  if (text === '') return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return unreadable('a part is not percent-encoded correctly')
  }
}

function refuseRest(questions: URLSearchParams): void {
  if (questions.size > 0) unreadable('it may have no options but sentinelUsername and sentinelPassword, of sentinels')
}

function unreadable(why?: string): never {
  throw new ConfigurationInvalid(`REDIS_URL cannot be read${why ? ` (${why})` : ''}: it looks like ${FORMS}.`)
}
