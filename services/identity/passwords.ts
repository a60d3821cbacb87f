// Hashing of passwords: scrypt with its parameters beside the hash, so that they can be raised and older hashes are made again
// at the next login. Invariant: checking a password takes the same work whether its user exists or not. Only a few
// checks run at once, and a bounded number waits, in turns between addresses: a flood of logins takes neither
// the memory, nor the threads, nor the turns of other addresses.
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { type Caller, createTurns, type TurnBounds } from './turns.js'

export interface Passwords {
  /** @throws OVERLOADED when too many are being checked already */
  hash(password: string, caller: Caller): Promise<string>
  /**
   * `outdated`: right, and kept with other parameters than today's. Without a hash the answer is `wrong`, after the same
   * work. @throws OVERLOADED
   */
  check(password: string, hash: string | undefined, caller: Caller): Promise<'right' | 'outdated' | 'wrong'>
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
const BOUNDS: TurnBounds = { atOnce: 2, perAddress: 50, perTenant: 100, inAll: 500 }

const FORM = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/

export function createPasswords(cost: Cost = COST): Passwords {
  const turn = createTurns(BOUNDS)
  /** The hash that is checked when there is none: no password has it. */
  const unknownUser = format(cost, randomBytes(SALT_BYTES), randomBytes(KEY_BYTES))

  return {
    async hash(password, caller) {
      const salt = randomBytes(SALT_BYTES)
      return format(cost, salt, await turn(caller, () => derive(password, salt, cost)))
    },
    async check(password, hash, caller) {
      const kept = parse(hash ?? unknownUser)
      const key = await turn(caller, () => derive(password, kept.salt, kept.cost))
      if (!timingSafeEqual(key, kept.key) || hash === undefined) return 'wrong'
      const { ln, r, p } = kept.cost
      return ln === cost.ln && r === cost.r && p === cost.p ? 'right' : 'outdated'
    },
  }
}

function derive(password: string, salt: Buffer, { ln, r, p }: Cost): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** ln, r, p, maxmem: 256 * 2 ** ln * r }
  // One spelling for equal-looking texts, however the keyboard composed them.
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
