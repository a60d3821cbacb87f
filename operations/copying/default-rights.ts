// The default rights of a dump that is restored by a role of another name: they are left out of it, and granted from the
// archive's record of them. `alter default privileges` binds the role that runs it.
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import type { ShapeLine } from './schema-shape.js'

/** The entries of a dump, without its default rights. */
export const withoutDefaultRights = (entries: string): string =>
  entries
    .split('\n')
    .filter(line => !/^\d+; \d+ \d+ DEFAULT ACL /.test(line))
    .join('\n')

const OBJECTS: Readonly<Record<string, string>> = {
  r: 'tables',
  S: 'sequences',
  f: 'functions',
  T: 'types',
  n: 'schemas',
}

/** @param shape of the original */
export async function giveDefaultRights(inside: QueryClient, shape: readonly ShapeLine[]): Promise<void> {
  for (const { kind, name, definition } of shape) {
    const [, objects = '', schema] = /^(\w) of owner(?: in (.+))?$/s.exec(name) ?? []
    if (kind !== 'default rights' || OBJECTS[objects] === undefined) continue
    for (const entry of definition.split(/, (?=[+-])/)) {
      const { sign, role, right, grant } = partsOf(entry)
      const wording = sign === '-' ? [`revoke ${right} on`, 'from', ''] : [`grant ${right} on`, 'to', grant]
      const [verb, towards, option] = wording as [string, string, string]
      // The owner is this role now, whatever it was called.
      const [row] = await inside<{ statement: string }[]>`
        select concat_ws(' ', 'alter default privileges', 'in schema ' || quote_ident((parse_ident(${schema ?? null}::text))[1]),
          ${verb}::text, ${OBJECTS[objects] ?? ''}::text, ${towards}::text, case ${role}::text when 'owner' then 'current_user' when 'public' then 'public'
            else quote_ident(${role}::text) end, ${option}::text) as statement`
      await inside.unsafe((row as { statement: string }).statement)
    }
  }
}

const GRANTABLE = ' with grant option'

/** @param entry as the shape words it: `+name SELECT with grant option`, `-public EXECUTE` */
function partsOf(entry: string): { sign: string; role: string; right: string; grant: string } {
  const grant = entry.endsWith(GRANTABLE) ? GRANTABLE : ''
  const rest = grant ? entry.slice(0, -GRANTABLE.length) : entry
  const at = rest.lastIndexOf(' ')
  return { sign: rest.slice(0, 1), role: rest.slice(1, at), right: rest.slice(at + 1), grant }
}
