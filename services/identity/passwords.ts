// Owns passwords as they are kept: scrypt with its parameters beside the hash, so that they can be raised and older hashes
// are made again at the next login. Invariant: to check a password takes the same work whether there is such a user or
// not. Only a few are checked at once, and only so many wait: a flood of logins takes neither the memory nor the threads.
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { Overloaded } from '../../plugins/overload.js'

export interface Passwords {
  /** @throws OVERLOADED when too many are being checked already */
  hash(password: string): Promise<string>
  /**
   * `outdated`: right, and kept with other parameters than today's. Without a hash the answer is `wrong`, after the same
   * work. @throws OVERLOADED
   */
  check(password: string, hash: string | undefined): Promise<'right' | 'outdated' | 'wrong'>
}

export interface Cost {
  /** The logarithm of scrypt's N: 15 is 32 MiB. */
  readonly ln: number
  readonly r: number
  readonly p: number
}

/** OWASP's smallest for a machine with little memory: 32 MiB, three times over. */
export const COST: Cost = { ln: 15, r: 8, p: 3 }

const SALT_BYTES = 16
const KEY_BYTES = 32
/** Node has four threads for this, and names are resolved on them too. */
const AT_ONCE = 2
const MAX_WAITING = 50

const FORM = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/

export function createPasswords(cost: Cost = COST): Passwords {
  const turn = turns(AT_ONCE, MAX_WAITING)
  /** What is checked when there is nothing to check: no password has this hash. */
  const nobody = format(cost, randomBytes(SALT_BYTES), randomBytes(KEY_BYTES))

  return {
    async hash(password) {
      const salt = randomBytes(SALT_BYTES)
      return format(cost, salt, await turn(() => derive(password, salt, cost)))
    },
    async check(password, hash) {
      const kept = parse(hash ?? nobody)
      const key = await turn(() => derive(password, kept.salt, kept.cost))
      if (!timingSafeEqual(key, kept.key) || hash === undefined) return 'wrong'
      const { ln, r, p } = kept.cost
      return ln === cost.ln && r === cost.r && p === cost.p ? 'right' : 'outdated'
    },
  }
}

function derive(password: string, salt: Buffer, { ln, r, p }: Cost): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** ln, r, p, maxmem: 256 * 2 ** ln * r }
  // One spelling for what looks the same, however the keyboard composed it.
  return new Promise((resolve, reject) =>
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, options, (error, key) =>
      error ? reject(error) : resolve(key),
    ),
  )
}

const plain = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '')

const format = ({ ln, r, p }: Cost, salt: Buffer, key: Buffer): string =>
  `$scrypt$ln=${ln},r=${r},p=${p}$${plain(salt)}$${plain(key)}`

function parse(hash: string): { cost: Cost; salt: Buffer; key: Buffer } {
  const [, ln, r, p, salt, key] = FORM.exec(hash) ?? []
  if (!salt || !key) throw new Error('a stored password hash is malformed')
  return {
    cost: { ln: Number(ln), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt, 'base64'),
    key: Buffer.from(key, 'base64'),
  }
}

/** Runs at most `atOnce`, lets `mostWaiting` wait, refuses the rest. */
function turns(atOnce: number, mostWaiting: number) {
  const waiting: (() => void)[] = []
  let running = 0
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnce) {
      if (waiting.length >= mostWaiting) throw new Overloaded()
      await new Promise<void>(go => waiting.push(go))
    } else running++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
}
