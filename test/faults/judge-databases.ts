// Judges an instance's databases against its registry: each tenant has exactly one, complete, owned, marked and
// closed; there are no others, and spares are complete as well.
import type { ServiceName } from '../../stack/names.js'
import type { DatabaseFact, InsideFacts, InstanceFacts, TenantFact } from './instance-facts.js'

/** `purged`: deleted tenants must be gone. */
export function judgeTenantDatabases(service: ServiceName, facts: InstanceFacts, purged: boolean): string[] {
  const { databases, tenants } = facts
  const found: string[] = []
  const named = new Map(databases.map(database => [database.name, database]))
  const expected = new Map(tenants.map(tenant => [`tenant_${tenant.id}_${service}`, tenant]))
  for (const [name, tenant] of expected) {
    const database = named.get(name)
    if (tenant.lifecycle === 'deleted') {
      if (database && purged) found.push(`${name} is still there`)
      if (purged && tenant.provisioned !== 'removed') found.push(`${tenant.id} is ${tenant.provisioned} in ${service}`)
      if (!purged && !database && tenant.certificate) found.push(`${name} is gone before its time`)
    } else if (!database) found.push(`${name} is missing`)
    if (database) found.push(...judgeMark(service, database, tenant))
    if (database && tenant.provisioned === 'ready') found.push(...judgeRole(service, database, facts))
  }
  for (const { name } of facts.roles) {
    if (name.startsWith('tenant_') && !named.has(name)) found.push(`the role ${name} is left without a database`)
  }
  for (const database of databases) {
    found.push(...judgeDoor(service, database))
    if (database.name.startsWith('tenant_') && !expected.has(database.name))
      found.push(`${database.name} belongs to no tenant`)
  }
  return found
}

/** One login, which may enter this database alone, and has only its group's rights. */
function judgeRole(service: ServiceName, { name, guests }: DatabaseFact, { roles }: InstanceFacts): string[] {
  const role = roles.find(role => role.name === name)
  if (!role) return [`the role ${name} is missing`]
  const found: string[] = []
  if (!role.login) found.push(`the role ${name} cannot log in`)
  if (role.groups.join() !== `${service}_tenant`) found.push(`the role ${name} is member of [${role.groups}]`)
  if (guests.join() !== name) found.push(`${name} may be entered by [${guests}]`)
  return found
}

/** Every spare on offer is complete and closed, there are as many as wanted, and none is half made. */
function judgeSpares(service: ServiceName, { spares, databases, roles }: InstanceFacts, wanted: number): string[] {
  const found: string[] = []
  const isSpare = ({ name }: { name: string }): boolean => name.startsWith(`spare_${service}_`)
  if (spares.length !== wanted) found.push(`${service} has ${spares.length} spares, not ${wanted}`)
  for (const name of spares) {
    const database = databases.find(one => one.name === name)
    const role = roles.find(one => one.name === name)
    if (!database || database.connectable) found.push(`the spare ${name} has no database that is closed`)
    if (!role || role.login) found.push(`the spare ${name} has no role that cannot log in`)
  }
  for (const { name } of [...databases.filter(isSpare), ...roles.filter(isSpare)]) {
    if (!spares.includes(name)) found.push(`${name} is there and not on offer`)
  }
  return found
}

/** The databases and roles that tenants of an instance share. */
export function judgeInstance(service: ServiceName, facts: InstanceFacts, spares: number): string[] {
  const { databases, roles, idleInTransaction } = facts
  const found = judgeSpares(service, facts, spares)
  if (!databases.some(({ name }) => name === `${service}_central`)) found.push(`${service}_central is missing`)
  const templates = databases.filter(({ name }) => name.startsWith(`template_${service}_`))
  if (templates.length !== 1) found.push(`${service} has ${templates.length} templates, not one`)
  for (const { name, template, connectable } of templates) {
    if (!template || connectable) found.push(`${name} is no template that refuses connections`)
  }
  for (const role of roles) {
    if (role.name === 'postgres') continue
    if (role.superuser) found.push(`the role ${role.name} is a superuser`)
    if (role.maker && role.name !== `${service}_service`)
      found.push(`the role ${role.name} may make roles or databases`)
  }
  if (idleInTransaction > 0) found.push(`${service} has ${idleInTransaction} sessions idle in a transaction`)
  return found
}

/** No role enters a database without a grant, and no half-dropped database is left. */
function judgeDoor(service: ServiceName, { name, invalid, owner, openToPublic }: DatabaseFact): string[] {
  const found: string[] = []
  const servers = name === 'postgres' || name === 'template1'
  if (invalid) found.push(`${name} is left of an interrupted drop`)
  if (openToPublic) found.push(`${name} is open to PUBLIC`)
  if (!servers && owner !== `${service}_service`) found.push(`${name} belongs to ${owner}`)
  return found
}

function judgeMark(service: ServiceName, { name, comment }: DatabaseFact, tenant: TenantFact): string[] {
  // A tenant deleted before it was ready leaves a database without a mark.
  if (comment === null && tenant.lifecycle === 'deleted') return []
  const [, text = ''] = /^distributed-tenant:v1 (.*)$/.exec(comment ?? '') ?? []
  const mark = parse(text)
  if (!mark) return [`${name} carries no mark`]
  const fits = mark.tenant === tenant.id && mark.service === service && mark.certificate === tenant.certificate
  return fits ? [] : [`the mark of ${name} is ${text}, its registry row has ${tenant.id}, ${tenant.certificate}`]
}

function parse(text: string): { tenant?: string; service?: string; certificate?: string } | null {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

export function judgeInside(service: ServiceName, tenant: TenantFact, inside: InsideFacts, schema: number): string[] {
  const found: string[] = []
  const name = `tenant_${tenant.id}_${service}`
  const { certificates, tenantSchema } = inside
  if (certificates.length !== 1 || certificates[0] !== tenant.certificate) {
    found.push(`${name} holds certificates [${certificates}], its registry row ${tenant.certificate}`)
  }
  if (tenantSchema !== schema) found.push(`${name} is at schema ${tenantSchema}, not ${schema}`)
  if (tenant.schemaVersion !== tenantSchema) {
    found.push(`the registry says ${name} is at schema ${tenant.schemaVersion}, it is at ${tenantSchema}`)
  }
  return found
}
