// The client's side of SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), as far as PostgreSQL takes it. Pure but for
// its nonce and the keys it remembers. Invariant: a server that does not know the password's verifier is not believed.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'

export interface Scram {
  /** The first message of the client. */
  readonly first: string
  /** The answer to the server's first message. @throws when that is not an answer to ours */
  answer(challenge: string): string
  /** Whether the server's last message proves that it knows the password. */
  proves(last: string): boolean
}

export const SCRAM = 'SCRAM-SHA-256'

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

interface Keys {
  readonly client: Buffer
  readonly stored: Buffer
  readonly server: Buffer
}

/** Of passwords with a salt, which a role keeps until its password is set anew. As secret as the passwords, which are in memory too. */
const remembered = new LRUCache<string, Keys>({ max: 1_000 })

function keysOf(password: string, salt: string, iterations: number): Keys {
  const name = `${iterations} ${salt} ${password}`
  let keys = remembered.get(name)
  if (!keys) {
    const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), iterations, 32, 'sha256')
    const client = hmac(salted, 'Client Key')
    keys = { client, stored: createHash('sha256').update(client).digest(), server: hmac(salted, 'Server Key') }
    remembered.set(name, keys)
  }
  return keys
}

export function createScram(password: string, nonce = randomBytes(18).toString('base64')): Scram {
  // The server takes the user of the startup message.
  const bare = `n=,r=${nonce}`
  let proof: string | null = null

  return {
    first: `n,,${bare}`,
    answer(challenge) {
      const [, serverNonce = '', salt = '', iterations = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(challenge) ?? []
      if (!serverNonce.startsWith(nonce) || serverNonce.length === nonce.length || Number(iterations) === 0) {
        throw new Error('the server did not answer our nonce')
      }
      const { client, stored, server } = keysOf(password, salt, Number(iterations))
      // `biws` is `n,,`: no channel binding.
      const ours = `c=biws,r=${serverNonce}`
      const all = `${bare},${challenge},${ours}`
      proof = hmac(server, all).toString('base64')
      const signature = hmac(stored, all)
      for (let at = 0; at < signature.length; at++) (signature[at] as number) ^= client[at] as number
      return `${ours},p=${signature.toString('base64')}`
    },
    proves: last => proof !== null && last === `v=${proof}`,
  }
}
