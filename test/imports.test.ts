// Checks the rules of the source tree: imports between folders, access to the environment, names and first lines of
// files. Each test lists every offence, so that one run shows all faults.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const product = [
  'timing',
  'files',
  'events',
  'postgres',
  'plugins',
  'orms',
  'services',
  'operations',
  'testing',
  'cli',
] as const
const beside = ['stack', 'bench', 'examples', 'templates', 'test'] as const

/** The folders that a top folder may import, besides itself. */
const below: Record<(typeof product)[number], readonly string[]> = {
  timing: [],
  files: [],
  events: ['timing'],
  postgres: ['timing', 'files'],
  plugins: ['timing', 'files', 'events', 'postgres'],
  orms: ['plugins'],
  services: ['timing', 'events', 'plugins', 'operations'],
  operations: ['files', 'events', 'postgres', 'plugins'],
  testing: ['postgres', 'plugins', 'operations'],
  cli: ['files', 'events', 'plugins', 'operations'],
}

const plugin = 'plugins/distributed-tenant/'

/** Rooms from top to bottom, folders with a slash: a file may import from its own line and the lines below. */
const floors: Readonly<Record<string, readonly (readonly string[])[]>> = {
  [plugin]: [
    ['index'],
    ['operator-access'],
    ['tenants'],
    ['tenant-hooks'],
    ['tenancy'],
    ['monitoring/'],
    ['assembly/'],
    ['reconciliation/'],
    ['request/'],
    ['provisioning/'],
    ['migration-runs/'],
    ['instances/'],
    ['directory/'],
    ['databases/'],
    ['fastify-types'],
    ['config/'],
    ['credentials/'],
    ['registry/'],
    ['diagnostics/'],
    ['api'],
    ['optional-peer'],
    ['types', 'errors', 'names'],
  ],
  'postgres/': [
    ['migrations/'],
    ['sql/'],
    ['pool/'],
    ['connections/'],
    ['advisory-locks'],
    ['address', 'errors', 'reports', 'types'],
  ],
}

/** The folders that alone may import a package. Tests and benchmarks are free. */
const owners: Record<string, readonly string[]> = {
  nats: ['events/'],
  postgres: ['postgres/'],
  pg: ['orms/pg/'],
  kysely: ['orms/kysely/'],
}

/** Where the product reads `process.env`: the list of variables, and the command that needs a superuser's. */
const readersOfTheEnvironment = [
  'plugins/distributed-tenant/config/environment.ts',
  'cli/commands/init.ts',
  'operations/child-environment.ts',
  'operations/targets.ts',
  'testing/environment.ts',
]

interface Source {
  readonly file: string
  readonly text: string
  readonly imports: readonly string[]
}

const importing = [
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\bimport\s*\(\s*['"]([^'"]+)['"]/g,
  /\brequire\s*\(\s*['"]([^'"]+)['"]/g,
]

function read(top: string): Source[] {
  let entries: string[]
  try {
    entries = readdirSync(top, { recursive: true, encoding: 'utf8' })
  } catch {
    return []
  }
  return entries
    .filter(name => /\.[cm]?ts$/.test(name) && !name.includes('prisma/generated/'))
    .map(name => {
      const file = join(top, name)
      const text = readFileSync(file, 'utf8')
      return {
        file,
        text,
        imports: importing.flatMap(pattern => [...text.matchAll(pattern)].map(([, to]) => to ?? '')),
      }
    })
}

const sources = Object.fromEntries([...product, ...beside].map(top => [top, read(top)])) as Record<string, Source[]>
const inProduct = product.flatMap(top => sources[top] ?? [])
const everywhere = Object.values(sources).flat()

/** The imported file in this repository, or null for a package. */
const target = ({ file }: Source, to: string): string | null =>
  to.startsWith('.') ? normalize(join(dirname(file), to)) : null

const topOf = (path: string): string => path.split('/')[0] ?? path

/** `postgres` for `postgres` and `postgres/types`; `@fastify/error` for its subpaths too. */
const packageOf = (to: string): string => to.split('/', to.startsWith('@') ? 2 : 1).join('/')

const offences = (sources: readonly Source[], judge: (source: Source, to: string) => string | null): string[] =>
  sources.flatMap(source =>
    source.imports.flatMap(to => {
      const offence = judge(source, to)
      return offence === null ? [] : `${source.file} imports ${to}: ${offence}`
    }),
  )

/** Import cycles, each as the files on its way; one for each file that closes one. */
function circles(sources: readonly Source[]): string[][] {
  const byFile = new Map(sources.map(source => [source.file.replace(/\.ts$/, '.js'), source]))
  const done = new Set<string>()
  const found: string[][] = []
  const withDirectConnection = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file)
    if (at >= 0) found.push([...way.slice(at), file])
    if (at >= 0 || done.has(file)) return
    const source = byFile.get(file)
    for (const to of source?.imports ?? []) {
      const path = source && target(source, to)
      if (path) withDirectConnection(path, [...way, file])
    }
    done.add(file)
  }
  for (const file of byFile.keys()) withDirectConnection(file, [])
  return found
}

t.test('the parser finds files and imports', async t => {
  for (const top of product) t.ok(sources[top]?.length, `${top} has files`)
  const [index] = inProduct.filter(({ file }) => file === `${plugin}index.ts`)
  t.ok(index?.imports.includes('./tenancy.js'), 'a relative import')
  t.ok(index?.imports.includes('fastify-plugin'), 'a package')
  t.ok(index?.imports.includes('./fastify-types.js'), 'an import for its effect')
  const circle = ['a', 'b', 'c'].map((name, at, all) => ({
    file: `${name}.ts`,
    text: '',
    imports: [`./${all[(at + 1) % all.length]}.js`],
  }))
  t.same(circles(circle), [['a.js', 'b.js', 'c.js', 'a.js']], 'a circle')
})

t.test('imports run one way: events, postgres <- plugins <- operations <- services, cli, testing', async t => {
  const found = offences(inProduct, (source, to) => {
    const path = target(source, to)
    if (path === null) return null
    const from = topOf(source.file) as (typeof product)[number]
    const into = topOf(path)
    return into === from || below[from].includes(into) ? null : `${from} may import ${below[from].join(', ') || 'none'}`
  })
  t.same(found, [])
})

t.test('no file imports itself by way of others, types included', async t => {
  t.same(circles(inProduct), [])
})

for (const [room, lines] of Object.entries(floors)) {
  t.test(`a folder of ${room} imports only folders below it`, async t => {
    const rank = (path: string): number => {
      const [first = '', second] = path.slice(room.length).split('/')
      return lines.findIndex(names =>
        names.includes(second === undefined ? first.replace(/\.[jt]s$/, '') : `${first}/`),
      )
    }
    const inRoom = inProduct.filter(({ file }) => file.startsWith(room))
    t.same(
      inRoom.filter(({ file }) => rank(file) < 0).map(({ file }) => file),
      [],
      'every file has a place in the order',
    )
    const found = offences(inRoom, (source, to) => {
      const path = target(source, to)
      if (!path?.startsWith(room)) return null
      return rank(path) < rank(source.file) ? 'it stands above' : null
    })
    t.same(found, [])
  })
}

t.test(
  'services and other plugins import the plugin through its index, and its PostgreSQL through nothing else',
  async t => {
    const outside = inProduct.filter(
      ({ file }) => !file.startsWith(plugin) && !/^(postgres|operations|testing|cli)\//.test(file),
    )
    const found = offences(outside, (source, to) => {
      const path = target(source, to)
      return path?.startsWith('postgres/') || (path?.startsWith(plugin) && path !== `${plugin}index.js`)
        ? 'only operations, testing, cli, bench and test may'
        : null
    })
    t.same(found, [])
  },
)

t.test('operations, cli and testing import of the plugin what its README lists', async t => {
  const listed = [
    ...readFileSync(`${plugin}README.md`, 'utf8').matchAll(
      /^\| `([\w/-]+\.ts)` \| ((?:(?:testing|operations|cli)(?:, )?)+) \|$/gm,
    ),
  ]
  const found = new Map<string, Set<string>>()
  for (const source of inProduct) {
    const top = topOf(source.file)
    if (top !== 'operations' && top !== 'cli' && top !== 'testing') continue
    for (const to of source.imports) {
      const path = target(source, to)
      if (!path?.startsWith(plugin) || path === `${plugin}index.js`) continue
      const file = path.slice(plugin.length).replace(/js$/, 'ts')
      found.set(file, (found.get(file) ?? new Set()).add(top))
    }
  }
  const rows = [...found].map(([file, tops]) => [file, [...tops].sort().reverse().join(', ')])
  t.same(
    listed.map(([, file, tops]) => [file, tops]),
    rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
    'docs and imports say the same, in the order of the alphabet',
  )
})

t.test('only its owner imports a package that is wrapped', async t => {
  const found = offences([...inProduct, ...(sources.stack ?? [])], (source, to) => {
    const owner = owners[packageOf(to)]
    return owner?.some(folder => source.file.startsWith(folder)) === false ? `only ${owner.join(', ')} may` : null
  })
  t.same(found, [])
})

t.test(
  'examples import what their readers can install: the package by its name, and what a new service has',
  async t => {
    const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8'))
    const { dependencies } = JSON.parse(readFileSync('templates/service/_package.json', 'utf8'))
    const entries = Object.keys(exports).map(entry => name + entry.slice(1))
    const found = offences(sources.examples ?? [], (_, to) =>
      to.startsWith('node:') || entries.includes(to) || (to !== name && packageOf(to) in dependencies)
        ? null
        : 'only the package by its name and the dependencies of a new service may be imported',
    )
    t.ok(sources.examples?.some(({ imports }) => imports.includes(name)))
    t.same(found, [])
  },
)

t.test('a new service imports what its package.json lists', async t => {
  const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8'))
  const { dependencies } = JSON.parse(readFileSync('templates/service/_package.json', 'utf8'))
  const entries = Object.keys(exports).map(entry => name + entry.slice(1))
  const found = offences(sources.templates ?? [], (_, to) =>
    to.startsWith('node:') ||
    to.startsWith('./') ||
    entries.includes(to) ||
    (to !== name && packageOf(to) in dependencies)
      ? null
      : 'it is not in the dependencies of the template',
  )
  t.ok(sources.templates?.some(({ imports }) => imports.includes(name)))
  t.same(found, [])
})

t.test('every program of the package runs as one: npm links the compiled file itself', async t => {
  const { bin } = JSON.parse(readFileSync('package.json', 'utf8')) as { bin: Record<string, string> }
  t.ok(Object.keys(bin).length > 0)
  for (const [name, file] of Object.entries(bin)) {
    t.equal(readFileSync(file, 'utf8').split('\n', 1)[0], '#!/usr/bin/env node', name)
  }
})

t.test('one service never imports another, and their shared files import none of them', async t => {
  const files = (sources.services ?? []).map(({ file }) => file)
  const services = new Set(files.filter(file => file.endsWith('/main.ts')).map(file => file.split('/')[1]))
  const found = offences(sources.services ?? [], (source, to) => {
    const path = target(source, to)
    if (path === null || topOf(path) !== 'services') return null
    const [, into] = path.split('/')
    const [, from] = source.file.split('/')
    return services.has(into) && into !== from ? `${into} is a service of its own` : null
  })
  t.ok(services.size >= 3, `services: ${[...services].join(', ')}`)
  t.same(found, [])
})

t.test('relative imports name the compiled file', async t => {
  const found = offences(everywhere, (_, to) =>
    to.startsWith('.') && !/\.(js|json)$/.test(to) ? 'end it in .js' : null,
  )
  t.same(found, [])
})

t.test('the environment is read where it is listed, and nowhere else', async t => {
  const readers = inProduct.filter(({ text }) =>
    /\bprocess\s*\.\s*env\b|\bprocess\s*\[|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/.test(text),
  )
  t.same(readers.map(({ file }) => file).sort(), [...readersOfTheEnvironment].sort())
})

/** Timers whose own work cannot fail, or guards itself. */
const ownTimers = ['timing/timers.ts', 'postgres/sql/statement-deadlines.ts']

/** Calls that a timer may make directly: they settle a promise, close a socket, or guard their work. */
const harmless = [
  /^(resolve|settle|end|stop|tick)\b(?!\()/,
  /^\(\) => (resolve|reject|settle|guarded)\(/,
  /^\(\) => (socket|refused)\.destroy\(/,
  /^\(\) => ending\.abort\(/,
  /^\(\) => \{[^{}]*?\bguarded\([^{}]*\}/,
  /^\(\) => \{\s*\w+ = setImmediate\([^{}]*\}/,
]

/** The callbacks of `setTimeout` and `setImmediate` in a text that are none of these. */
const unguarded = (text: string): string[] =>
  [...text.matchAll(/(?<![.\w])set(?:Timeout|Immediate)\(\s*/g)]
    .map(match => text.slice(match.index + match[0].length))
    .filter(callback => !harmless.some(pattern => pattern.test(callback)))
    .map(callback => callback.split('\n', 1)[0] as string)

t.test('repeated work is guarded, so that no timer ends the process', async t => {
  const found = inProduct.filter(({ text }) => /\bsetInterval\(/.test(text)).map(({ file }) => file)
  t.same(found.sort(), [...ownTimers].sort())
})

t.test('the single call of a timer settles a promise, closes a socket or is guarded', async t => {
  const looked = inProduct.filter(({ file }) => !ownTimers.includes(file))
  t.same(
    looked.flatMap(({ file, text }) => unguarded(text).map(callback => `${file}: ${callback}`)),
    [],
  )
  const bad = ['setTimeout(() => work(), 5)', 'setTimeout(work, 5)', 'setImmediate(() => {\n  flush()\n})']
  for (const text of bad) t.equal(unguarded(text).length, 1, text)
})

t.test('no file has a name without meaning', async t => {
  const found = everywhere.map(({ file }) => file).filter(file => /utils|helpers|manager|common/i.test(file))
  t.same(found, [])
})

t.test('every product file opens with its purpose', async t => {
  const found = inProduct.filter(({ text }) => !/^(#!.*\n)?\s*(\/\/ \S|\/\*)/.test(text)).map(({ file }) => file)
  t.same(found, [])
})
