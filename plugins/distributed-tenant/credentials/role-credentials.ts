// The passwords of tenants' roles: derived from the service's secret and not stored. The server gets a verifier that we
// compute ourselves, with one iteration: more protect passwords that can be guessed, and cost 2 ms at every connect
// (docs/decisions/0006). Several keys: the first is current, the others still open the roles that were set by them.
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { TenantId } from '../../../events/index.js'
import { ConfigurationInvalid } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { ServiceName } from '../types.js'

export interface RoleKey {
  readonly id: string
  readonly secret: string
}

/** `k1:<secret>`, several separated by commas; a secret has 32 characters or more, none of them a comma or a blank. */
export const ROLE_SECRET_PATTERN = '^[a-z0-9]{1,16}:[^\\s,]{32,}(,[a-z0-9]{1,16}:[^\\s,]{32,})*$'

/** @throws CONFIGURATION_INVALID, never with the secret in it */
export function parseRoleKeys(text: string): readonly RoleKey[] {
  if (!new RegExp(ROLE_SECRET_PATTERN).test(text)) {
    throw new ConfigurationInvalid(
      'TENANT_ROLE_SECRET is not usable: write it as k1:<secret> with 32 or more random characters, older keys after a comma.',
    )
  }
  const keys = text.split(',').map(part => {
    const at = part.indexOf(':')
    return { id: part.slice(0, at), secret: part.slice(at + 1) }
  })
  if (new Set(keys.map(key => key.id)).size < keys.length) {
    throw new ConfigurationInvalid('TENANT_ROLE_SECRET names two keys alike: give each secret a key id of its own.')
  }
  return keys
}

export interface Credentials {
  /** The name of the key that verifiers are made with: its id and a print of its secret, as in `k1.9f86d081`. */
  readonly current: string
  /** Names of all keys, the current one first. Two secrets under one id have two names. */
  readonly keys: readonly string[]
  password(tenant: TenantId, key: string): string
  /** The verifier that PostgreSQL stores, always the same for one tenant and key. It does not reveal the password. */
  verifier(tenant: TenantId): string
  /** The tenant's line in PgBouncer's `auth_file`. */
  userListLine(tenant: TenantId): string
}

export function createCredentials(service: ServiceName, keys: readonly RoleKey[]): Credentials {
  const named = new Map(keys.map(key => [nameOf(key), key]))
  const current = nameOf(keys[0] as RoleKey)

  function derive(tenant: TenantId, name: string, more = ''): Buffer {
    const { id, secret } = named.get(name) as RoleKey
    return createHmac('sha256', secret).update(`${id}\n${service}\n${tenant}${more}`).digest()
  }
  /** Of tenants whose connections were opened of late: deriving one costs as much as a statement. */
  const derived = new LRUCache<string, string>({ max: 1_000 })
  function password(tenant: TenantId, key: string): string {
    const name = `${key} ${tenant}`
    let password = derived.get(name)
    if (password === undefined) {
      password = derive(tenant, key).toString('hex')
      derived.set(name, password)
    }
    return password
  }
  // The salt is derived too, so that a pooler's list can be printed without reading the server's verifiers.
  const verifier = (tenant: TenantId): string =>
    scramVerifier(password(tenant, current), derive(tenant, current, '\nsalt').subarray(0, 16))

  return {
    current,
    keys: [...named.keys()],
    password,
    verifier,
    userListLine: tenant => `"${tenantDatabaseName(tenant, service)}" "${verifier(tenant)}"`,
  }
}

/** Thirty-two bits of a hash: enough to distinguish two secrets, and not enough to find one. */
function nameOf({ id, secret }: RoleKey): string {
  return `${id}.${createHmac('sha256', secret).update('print').digest('hex').slice(0, 8)}`
}

/** RFC 5802, by default with one iteration, in the form PostgreSQL stores. */
export function scramVerifier(password: string, salt: Buffer, iterations = 1): string {
  const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const stored = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${hmac(salted, 'Server Key').toString('base64')}`
}
