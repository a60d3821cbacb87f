// The marks of databases: a comment of a prefix and JSON, which says of which tenant or service a database is.
// Invariant: only a database's owner can write its comment, so a tenant's SQL cannot forge a mark; a comment that is not whole is
// no mark.

import type { ServiceName, TenantId } from '../types.js'

const prefixes = {
  central: 'distributed-tenant:central:v1 ',
  instance: 'distributed-tenant:instance:v1 ',
  moved: 'distributed-tenant:moved:v1 ',
  template: 'distributed-tenant:template:v1 ',
} as const

/** The mark of a tenant's database is this and its JSON; the SQL function `take_spare` writes it too. */
export const MARK_PREFIX = 'distributed-tenant:v1 '

/** The JSON behind a prefix; null for another comment, and for one that is not whole. */
function parse(prefix: string, comment: string | null): Record<string, unknown> | null {
  if (!comment?.startsWith(prefix)) return null
  try {
    const value: unknown = JSON.parse(comment.slice(prefix.length))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

/** The mark of a tenant's database. */
export interface Mark {
  readonly tenant: TenantId
  readonly service: ServiceName
  readonly certificate: string
  /** The incarnation of the tenant; absent until its service knows it. */
  readonly incarnation?: string
  /** Of a database that was brought here and not taken over yet: the migrations in it, see {@link builtBy}. */
  readonly built?: string
  /** Of a database that was restored for a tenant that identity does not know yet: the archive. */
  readonly restore?: string
}

/** With the incarnation of its tenant; null until that is known. */
interface Incarnated {
  readonly incarnation?: string | null | undefined
}

export const markText = ({ incarnation, ...mark }: Omit<Mark, 'incarnation'> & Incarnated): string =>
  MARK_PREFIX + JSON.stringify({ ...mark, ...(incarnation && { incarnation }) })

export function parseMark(comment: string | null): Mark | null {
  const { tenant, service, certificate, ...rest } = parse(MARK_PREFIX, comment) ?? {}
  if ([tenant, service, certificate].some(part => typeof part !== 'string')) return null
  const optional = ['incarnation', 'built', 'restore'].flatMap(key =>
    typeof rest[key] === 'string' ? [[key, rest[key]]] : [],
  )
  return { tenant, service, certificate, ...Object.fromEntries(optional) } as Mark
}

/** The registry's values for the tenant that a mark is compared with. */
export interface Expected {
  readonly tenant: TenantId
  readonly service: ServiceName
  readonly certificate: string | null
  readonly incarnation: string | null
}

/**
 * Whether a mark is this tenant's; the certificate counts once the registry has one. The incarnations count when both are
 * known. When one is not, the certificate proves it, or that the database was brought here before its tenant.
 */
export function markFits(mark: Mark, { tenant, service, certificate, incarnation }: Expected): boolean {
  if (mark.tenant !== tenant || mark.service !== service) return false
  if ((certificate ?? mark.certificate) !== mark.certificate) return false
  if (mark.incarnation !== undefined && incarnation !== null) return mark.incarnation === incarnation
  if (certificate !== null) return true
  const brought = mark.built !== undefined || mark.restore !== undefined
  return mark.incarnation === undefined && (incarnation === null || brought)
}

/** A mark that names this tenant, while this registry does not know the tenant's incarnation yet. */
export const mayFitLater = (mark: Mark, { tenant, service, certificate, incarnation }: Expected): boolean =>
  mark.tenant === tenant &&
  mark.service === service &&
  certificate === null &&
  incarnation === null &&
  mark.incarnation !== undefined

export const centralMarkText = (service: string): string => prefixes.central + JSON.stringify({ service })
export const instanceMarkText = (service: string): string => prefixes.instance + JSON.stringify({ service })

const serviceIn = (prefix: string, comment: string | null): string | null => {
  const { service } = parse(prefix, comment) ?? {}
  return typeof service === 'string' ? service : null
}

/** The service of a central database; null without a mark. */
export const parseCentralMark = (comment: string | null): string | null => serviceIn(prefixes.central, comment)

/** The service of its own database on an instance; null without a mark. */
export const parseInstanceMark = (comment: string | null): string | null => serviceIn(prefixes.instance, comment)

/** The mark of a template that was built by migrations of these checksums. */
export const templateMark = (built: string): string => prefixes.template + built

/** The tenant whose database a move left behind. `incarnation`: null when its mark did not name it. */
export interface KeptOf {
  readonly id: TenantId
  readonly service: ServiceName
  readonly incarnation: string | null
}

export const keptMark = ({ id, service, incarnation }: KeptOf, run: string): string =>
  prefixes.moved + JSON.stringify({ tenant: id, service, run, ...(incarnation && { incarnation }) })

/** The run that left a database and its tenant's incarnation; null when the comment is no such mark of this tenant and service. */
export function parseKeptMark(
  comment: string | null,
  id: TenantId,
  service: ServiceName,
): { readonly run: string; readonly incarnation: string | null } | null {
  const { incarnation, ...mark } = parse(prefixes.moved, comment) ?? {}
  if (mark.tenant !== id || mark.service !== service || typeof mark.run !== 'string') return null
  return { run: mark.run, incarnation: typeof incarnation === 'string' ? incarnation : null }
}
