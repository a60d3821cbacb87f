// The verifier of the password of a service's role, as a client of PostgreSQL makes it.
import { randomBytes } from 'node:crypto'
import { scramVerifier } from '../../plugins/distributed-tenant/credentials/role-credentials.js'

/** The server's own number for a password that may be guessed. */
const ITERATIONS = 4096

/** What `init`, `deploy/secrets.sh` and the stack make: 24 random bytes. No digest in use has this length. */
const RANDOM = /^[0-9a-f]{48}$/
/** Fewer different digits in 48 random ones: one in 10^9. */
const FEWEST_DIGITS = 8

/** Whether a password cannot be guessed, so that iterations protect nothing (docs/decisions/0006). */
const isRandom = (password: string): boolean => RANDOM.test(password) && new Set(password).size >= FEWEST_DIGITS

/** A password that costs no connection 2 ms, as one with iterations does. */
export const randomRolePassword = (): string => randomBytes(24).toString('hex')

/** The server logs a statement with its parameters, so the password itself is not sent. */
export const verifierOf = (password: string): string =>
  scramVerifier(prepared(password), randomBytes(16), isRandom(password) ? 1 : ITERATIONS)

const SPACES = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g
const NOTHING = /[\u00ad\u1806\u200b-\u200d\u2060\ufeff]|\u034f|[\u180b-\u180d]|[\ufe00-\ufe0f]/g

/** SASLprep (RFC 4013) as PostgreSQL applies it: a password with prohibited characters stays as it was. */
function prepared(password: string): string {
  const text = password.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC')
  return text === '' || /\p{C}/u.test(text) ? password : text
}
