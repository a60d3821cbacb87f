// The rules by which statements of one key share a connection: statements that are sent together are one write, and another
// connection costs as much as forty statements. Pure. Invariants: only reads that leave nothing in the session, whose
// parameters cannot fail on their way to the wire (the driver would fail the one in front, docs/decisions/0003), and that
// this connection has answered fast the last times; no statement joins behind one that is late.
import type { Codecs, DriverQuery } from '../connections/driver.js'
import { typesReadBy, writesItself } from '../connections/own-codecs.js'
import { isPlainRead } from '../connections/session-state.js'
import { Written } from '../connections/written-parameter.js'
import { COUNTED, currentTurn } from './event-loop-turns.js'

/**
 * A statement that may share, and its shape: which types the driver infers from its parameters, and which types its caller reads
 * in its own way, as the session prepares it for those.
 */
export interface Shareable {
  readonly template: readonly string[]
  readonly values: readonly unknown[]
  readonly shape: string
  /** How its caller reads and writes values, null for the driver's way. */
  readonly codecs: Codecs | null
}

export interface SharedConnection {
  /** Statements on the wire, also of requests that are over. */
  readonly size: number
  /** True when this statement may be sent behind others, or be the first. `others`: a waiter of another key waits. */
  canJoin(shareable: Shareable, others: boolean): boolean
  /** One more on the wire, with its claim if it has one. */
  join(shareable: Shareable | null): void
  /**
   * The statement in front has ended; `types` are those of its parameters when it was answered. A claim that failed is not
   * trusted until it is fast again, as its session may know the statement in another way now.
   */
  settled(shareable: Shareable | null, types?: readonly number[]): void
  /** No statement joins any more until all have ended. */
  closeToOthers(): void
}

/** More gain nothing (docs/decisions/0003) and each waits for all before it. */
const MOST = 8
/** A statement is fast when its answer came within this, by the clock or by turns of the loop. */
export const FAST_MS = 2
const FAST_TURNS = COUNTED - 1
/** So many fast answers in a row before a template shares; after a slow one many more. */
const TRUSTED = 3
const DISTRUST = -32
/** While others wait for the budget no statement joins after this, so that the connection can be yielded to them. */
const MOST_MS_WHILE_OTHERS_WAIT = 5
/** A longer string holds up the statements behind it on the wire. */
const LONGEST = 4_096

interface Known {
  shape: string
  types: readonly number[]
  fast: number
}

/**
 * The statement's claim to share, null when it needs a connection of its own. Parsers of its caller's may throw: their failure is
 * kept for its caller (connections/own-codecs.ts).
 */
export function shareableOf(query: DriverQuery, codecs: Codecs | null = null): Shareable | null {
  const { strings, args, options } = query
  if (options.simple || query.cursorFn || query.forEachFn || query.onlyDescribe) return null
  let shape = codecs ? `${typesReadBy(codecs)}:` : ''
  for (const value of args) {
    const kind = kindOf(value)
    if (kind === '') return null
    shape += kind
  }
  return isPlainRead(strings) ? { template: strings, values: args, shape, codecs } : null
}

/** One letter for each type that the driver infers by itself; none for a value whose writing may fail. */
function kindOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length <= LONGEST ? 's' : ''
    case 'number':
      return 's'
    case 'boolean':
      return 'b'
    case 'bigint':
      return 'i'
    default:
      if (value === null) return 's'
      if (value instanceof Written) return (value.length ?? LONGEST + 1) <= LONGEST ? 's' : ''
      return value instanceof Date && !Number.isNaN(value.getTime()) ? 'd' : ''
  }
}

/** The driver writes a string or number as one of these by making a date of it. */
const timestamps: ReadonlySet<number> = new Set([1082, 1114, 1184])
/** As one of these it writes it as it is. Not among them: bytea, json and arrays, whose serializers may throw. */
const plain: ReadonlySet<number> = new Set([
  16, 18, 19, 20, 21, 23, 25, 26, 650, 700, 701, 790, 829, 869, 1042, 1043, 1083, 1186, 1266, 1700, 2950,
])

/** True when neither the driver nor a serializer of the caller's can fail to write this value as that type. */
function writable(value: unknown, type: number | undefined, codecs: Codecs | null): boolean {
  if (value === null || value instanceof Written) return true
  if (codecs && (type === undefined || writesItself(codecs, type))) return false
  if (typeof value === 'boolean' || typeof value === 'bigint' || value instanceof Date) return true
  if (type === undefined) return false
  if (timestamps.has(type)) return !Number.isNaN(new Date(value as string | number).getTime())
  return plain.has(type)
}

/** The sharing of one connection. */
export function createSharedConnection(
  fastMs = FAST_MS,
  now: () => number = () => performance.now(),
): SharedConnection {
  const templates = new WeakMap<readonly string[], Known>()
  let size = 0
  let sealed = false
  let since = 0
  let frontSince = 0
  let frontTurn = 0

  /** The event loop has had time to read the answer of the statement in front, and has not. */
  const isLate = (at: number): boolean => at - frontSince > fastMs && currentTurn() - frontTurn > FAST_TURNS

  function knows({ template, shape, values, codecs }: Shareable): boolean {
    const known = templates.get(template)
    if (!known || known.fast < TRUSTED || known.shape !== shape) return false
    for (let at = 0; at < values.length; at++) if (!writable(values[at], known.types[at], codecs)) return false
    return true
  }

  return {
    get size() {
      return size
    },
    canJoin(shareable, others) {
      if (sealed || size >= MOST || !knows(shareable)) return false
      if (size === 0) return true
      const at = now()
      return !isLate(at) && !(others && at - since > MOST_MS_WHILE_OTHERS_WAIT)
    },
    join(shareable) {
      // Only the duration of a claim is used.
      if (size++ > 0 || !shareable) return
      since = frontSince = now()
      frontTurn = currentTurn()
    },
    settled(shareable, types) {
      size--
      if (shareable && !types) templates.delete(shareable.template)
      else if (shareable && types) {
        const fast = !isLate(now())
        const known = templates.get(shareable.template)
        if (!known) {
          templates.set(shareable.template, { shape: shareable.shape, types, fast: fast ? 1 : DISTRUST })
        } else {
          known.fast = fast ? Math.min(TRUSTED, known.fast + 1) : DISTRUST
          if (known.shape !== shareable.shape) known.fast = Math.min(known.fast, 1)
          known.shape = shareable.shape
          known.types = types
        }
      }
      if (size === 0) sealed = false
      else {
        frontSince = now()
        frontTurn = currentTurn()
      }
    },
    closeToOthers() {
      if (size > 0) sealed = true
    },
  }
}
