// The tagged-template surface over the driver's query builder: every query made here enters our handler instead of the
// driver's pool. Methods that are unsafe on a leased connection throw when called. A tag is one function per request; its
// methods are on one prototype (assigning some twenty functions to each took 1.0 us of it, this 0.07).
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import type { Codecs, Driver, DriverQuery } from '../connections/driver.js'
import { createOwnCodecs } from '../connections/own-codecs.js'
import { isOnePlainStatement } from '../connections/session-state.js'
import { TenantClientMethod } from '../errors.js'
import type { QueryClient } from '../types.js'
import { createQueryMaker, type Enter, type TextOptions } from './query.js'
import { createTextTemplates } from './repeated-texts.js'

/** Makes tags whose queries go to `enter` when they are first awaited. */
export type TagMaker = (enter: Enter, owner: CodecOwner) => QueryClient

/** The owner of a tag. */
export interface CodecOwner {
  /** How its values are read and written; null until it asks for tables of its own. */
  codecs: Codecs | null
}

const refusals = refuse({
  listen:
    'a notification needs a connection that outlives the request; use fastify.notifications on the central database',
  subscribe: 'logical replication is not a tenant’s business; use the tenant events',
  reserve: 'a reserved connection would outlive its request; use sql.begin for statements that belong together',
  end: 'the connections belong to the plugin and are closed with it',
  close: 'the connections belong to the plugin and are closed with it',
  prepare: 'a prepared transaction would outlive its request; let sql.begin commit it',
  largeObject: 'a large object needs a session of its own; store bytea instead',
})

function refuse(reasons: Readonly<Record<string, string>>): Record<string, () => never> {
  const refused = Object.entries(reasons).map(([name, reason]) => [
    name,
    () => {
      throw new TenantClientMethod(name, reason)
    },
  ])
  return Object.fromEntries(refused)
}

const kEnter = Symbol('distributed-tenant.enter')
const kOwner = Symbol('distributed-tenant.owner')

const kMake = Symbol('distributed-tenant.make')

type Tag = { [kEnter]: Enter; [kOwner]: CodecOwner; readonly [kMake]: TagMaker }
type Rest = [(readonly unknown[] | Partial<TextOptions>)?, Partial<TextOptions>?]

/** A tag that enters where this one does, with codecs of its owner's. */
export function retag(tag: QueryClient, owner: CodecOwner): QueryClient {
  const { [kEnter]: enter, [kMake]: make } = tag as unknown as Tag
  const enterAs: Enter = query => {
    if (owner.codecs) query.codecs ??= owner.codecs
    enter(query)
  }
  return make(enterAs, owner)
}

/**
 * Without parameters the driver takes the protocol that allows several statements, after which a session is reset: not for one
 * that leaves nothing.
 */
const isSeveral = (text: string, args: readonly unknown[]): boolean => args.length === 0 && !isOnePlainStatement(text)

const NOTIFY = Object.assign(['select pg_notify(', ', ', ')'], { raw: ['select pg_notify(', ', ', ')'] })

export function createTagMaker(builder: Driver): TagMaker {
  const maker = createQueryMaker(builder)
  const build = builder as unknown as (...all: unknown[]) => unknown
  const templateOf = createTextTemplates()

  function unsafe(enter: Enter, owner: CodecOwner, text: string, [first = [], second = {}]: Rest): DriverQuery {
    const [args, asked] = Array.isArray(first) ? [first, second] : [[], first]
    const { strings, repeated } = templateOf(text)
    const options = {
      prepare: false,
      ...asked,
      simple: 'simple' in asked ? asked.simple === true : isSeveral(text, args),
    }
    // As a tagged template is; the driver does so only on request, as a text may hold values and never come again.
    // Drizzle, which has codecs of its own, passes `prepare: false` with each statement, as `postgres` would take it without.
    if (repeated && !options.simple && (owner.codecs || !('prepare' in asked))) options.prepare = true
    return maker.ofText(strings, args, options, enter)
  }

  function file(enter: Enter, owner: CodecOwner, path: string | URL, rest: Rest): DriverQuery {
    const query = unsafe(enter, owner, '', rest) as DriverQuery & { strings: readonly string[] }
    // The text is read when the query is first awaited, as in the driver.
    query.handler = () => {
      readFile(path, 'utf8').then(
        text => {
          query.strings = [text]
          enter(query)
        },
        error => query.reject(error),
      )
    }
    return query
  }

  // As getters, so that a method taken off its tag (`const { unsafe } = sql`) works as in `postgres`.
  const offered = {
    get unsafe() {
      const { [kEnter]: enter, [kOwner]: owner } = this as unknown as Tag
      return (text: string, ...rest: Rest) => unsafe(enter, owner, text, rest)
    },
    get file() {
      const { [kEnter]: enter, [kOwner]: owner } = this as unknown as Tag
      return (path: string | URL, ...rest: Rest) => file(enter, owner, path, rest)
    },
    // An ORM writes into its tables. All tags of one client have the same.
    get options() {
      const owner = (this as unknown as Tag)[kOwner]
      owner.codecs ??= createOwnCodecs()
      return owner.codecs
    },
    get notify() {
      const enter = (this as unknown as Tag)[kEnter]
      return (channel: string, payload: string) => maker.tagged(NOTIFY, [channel, `${payload}`], enter).execute()
    },
  }
  const surface = Object.defineProperties(
    Object.assign(Object.create(Function.prototype), refusals, {
      json: builder.json,
      array: builder.array,
      typed: builder.typed,
      types: builder.typed,
      CLOSE: builder.CLOSE,
      END: builder.CLOSE,
      PostgresError: postgres.PostgresError,
    }),
    Object.getOwnPropertyDescriptors(offered),
  ) as object

  const make: TagMaker = (enter, owner) => {
    const tag = (first: unknown, ...rest: unknown[]): unknown => {
      if (Array.isArray((first as { raw?: unknown } | null | undefined)?.raw)) {
        return maker.tagged(first as readonly string[], rest, enter)
      }
      // An identifier or a helper.
      return build(first, ...rest)
    }
    Object.setPrototypeOf(tag, surface)
    ;(tag as unknown as Tag)[kEnter] = enter
    ;(tag as unknown as Tag)[kOwner] = owner
    return tag as unknown as QueryClient
  }
  Object.assign(surface, { [kMake]: make })
  return make
}
