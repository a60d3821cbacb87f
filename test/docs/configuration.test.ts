import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { environmentSchema, secretVariables } from '../../plugins/distributed-tenant/config/environment-schema.js'
import { quoted, rows, section } from './documents.js'

/** Name to default as text; null without one. */
const wanted = Object.fromEntries(
  Object.entries(environmentSchema.properties).map(([name, schema]) => {
    const value = (schema as { default?: unknown }).default
    return [name, value === undefined ? null : String(value)]
  }),
)

t.test('docs/configuration.md lists every variable with its default, and no other', async t => {
  const written = rows(section('docs/configuration.md', '## Variables of a service')).map(([name, value]) => [
    quoted(name)[0],
    value === 'none' ? null : quoted(value)[0],
  ])
  t.same(Object.fromEntries(written), wanted)
  t.equal(written.length, Object.keys(wanted).length, 'each once')
})

t.test('docs/configuration.md names every secret that may come from a file', async t => {
  const [written = ''] = readFileSync('docs/configuration.md', 'utf8').split(/may\s+be read from a file/)
  const names = quoted(written.slice(written.lastIndexOf('\n\n')))
  t.same(names.sort(), [...secretVariables].sort())
})

t.test('docs/configuration.md lists every option', async t => {
  const source = readFileSync('plugins/distributed-tenant/config/options.ts', 'utf8')
  const [, body = ''] = /export interface DistributedTenantOptions \{\n([\s\S]*?)\n\}/.exec(source) ?? []
  const options = [...body.matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name)
  const written = rows(section('docs/configuration.md', '## Options')).map(([name]) => quoted(name)[0])
  t.same(written.sort(), options.sort())
})

t.test('docs/plugin.md names only existing options and variables', async t => {
  const table = rows(section('docs/plugin.md', '## Options and environment'))
  const variables = table.flatMap(([, variable]) => quoted(variable))
  t.ok(variables.length > 5)
  t.same(
    variables.filter(name => !(name in wanted)),
    [],
  )
})

t.test('.env.example has every variable with its default below a line of comment', async t => {
  const lines = readFileSync('.env.example', 'utf8').split('\n')
  const written: Record<string, string | null> = {}
  lines.forEach((line, at) => {
    const [, off, name, value] = /^(# )?([A-Z_]+)=(.*)$/.exec(line) ?? []
    if (name === undefined) return
    written[name] = off ? null : (value as string)
    t.match(lines[at - 1], /^# \S.*\.$/, `${name} has a comment`)
  })
  t.same(written, wanted)
})

t.test('.env.example gives the same settings as an empty environment', async t => {
  const example = parseEnv(readFileSync('.env.example', 'utf8')) as Record<string, string>
  t.same(readEnvironment(example), readEnvironment({}))
})
