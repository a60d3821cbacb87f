// The names made from ids: tenant, service, database and its role, template, spare. Injective, and at most 63 bytes, because
// PostgreSQL cuts longer names without an error and two tenants would share a database.
import { isTenantId, type TenantId } from '../../events/tenant-id.js'
import { ConfigurationInvalid, TenantIdInvalid, TenantIdReserved } from './errors.js'
import type { ServiceName } from './types.js'

const serviceName = /^[a-z][a-z0-9]{0,14}$/

/** Ids that no tenant may have: they read as ours, as PostgreSQL's, or as a host name with a meaning of its own. */
export const reservedIds: ReadonlySet<string> = new Set([
  'postgres',
  'template0',
  'template1',
  'admin',
  'api',
  'app',
  'auth',
  'central',
  'changes',
  'core',
  'docs',
  'employee',
  'events',
  'health',
  'identity',
  'internal',
  'localhost',
  'login',
  'mail',
  'metrics',
  'public',
  'root',
  'static',
  'status',
  'support',
  'system',
  'tenant',
  'tenants',
  'www',
])

/** Letters that have no simpler form of their own, as they are commonly written in ASCII. */
const SPELLED: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  ł: 'l',
  đ: 'd',
  ð: 'd',
  þ: 'th',
  ı: 'i',
}

/** The part of a name that is valid in an id, at most `longest` characters; may be empty: `Bäckerei O’Brien` is `backerei-obrien`. */
export function slugOf(name: string, longest: number): string {
  return (
    name
      .toLowerCase()
      .normalize('NFKD')
      .toLowerCase()
      // An accent or an apostrophe separates no words.
      .replace(/[\p{M}'’ʼ]/gu, '')
      .replace(/[^a-z0-9]/g, letter => SPELLED[letter] ?? '-')
      .split('-')
      .filter(Boolean)
      .join('-')
      .slice(0, longest)
      .replace(/-$/, '')
  )
}

/** @throws TENANT_ID_INVALID */
export function parseTenantId(value: unknown): TenantId {
  if (!isTenantId(value)) throw new TenantIdInvalid()
  return value
}

/** For creation: also refuses reserved ids. @throws TENANT_ID_INVALID, TENANT_ID_RESERVED */
export function parseNewTenantId(value: unknown): TenantId {
  const id = parseTenantId(value)
  if (reservedIds.has(id)) throw new TenantIdReserved()
  return id
}

/** `identity-service` and `identity` give `identity`. @throws CONFIGURATION_INVALID */
export function parseServiceName(value: string): ServiceName {
  const name = value.endsWith('-service') ? value.slice(0, -'-service'.length) : value
  if (!serviceName.test(name)) {
    throw new ConfigurationInvalid(
      'SERVICE_NAME is not usable: it must be like employee-service, with 1 to 15 of a-z and 0-9 before "-service".',
    )
  }
  return name as ServiceName
}

/** `tenant_{id}_{service}`: 7 + 40 + 1 + 15 bytes at most; `_` occurs in neither part, so it separates unambiguously. */
export function tenantDatabaseName(id: TenantId, service: ServiceName): string {
  return `tenant_${id}_${service}`
}

/** The tenant a database name of this service belongs to; null for any other name. */
export function tenantOfDatabase(name: string, service: ServiceName): TenantId | null {
  if (!name.startsWith('tenant_') || !name.endsWith(`_${service}`)) return null
  const id = name.slice('tenant_'.length, -service.length - 1)
  return isTenantId(id) ? id : null
}

/** `{service}_tenant`: the group of the login roles of this service's tenants. */
export const tenantGroupName = (service: ServiceName): string => `${service}_tenant`

/** `spare_{service}_{number}`: a database, and the role that goes with it. */
export const spareName = (service: ServiceName, number: number): string => `spare_${service}_${number}`

/** `template_{service}_{version}`: a migrated database that accepts no connections. */
export function templateName(service: ServiceName, version: number): string {
  return `template_${service}_${version}`
}
