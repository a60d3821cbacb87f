import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DeadEvent, EventRejected, EventsUnavailable } from '../../events/index.js'
import * as errors from '../../plugins/distributed-tenant/errors.js'
import { quoted, rows, section } from './documents.js'

const file = 'docs/troubleshooting.md'
type Coded = { code: string; statusCode?: number }

const ofThePlugin = Object.values(errors)
  .filter(value => typeof value === 'function')
  .map(Type => new (Type as new () => Coded)())

/** Codes that are created in the folders' sources, with their status where it stands beside. */
function codesIn(folders: readonly string[]): Map<string, number | undefined> {
  const codes = new Map<string, number | undefined>()
  for (const folder of folders) {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue
      const text = readFileSync(join(folder, name), 'utf8')
      for (const [, code, status] of text.matchAll(
        /createError\(\s*'([A-Z_]+)',\s*['`][^\n]*['`],\s*(\d{3}),?\s*\)/g,
      )) {
        codes.set(code as string, Number(status))
      }
      for (const [, status, code] of text.matchAll(/\b([45]\d\d),\s*'([A-Z][A-Z_]+)'/g))
        codes.set(code as string, Number(status))
      for (const [, code] of text.matchAll(/^\s*(FST_ERR_[A-Z_]+):/gm)) codes.set(code as string, undefined)
    }
  }
  return codes
}

const made = codesIn(['services', 'plugins'])
for (const { code } of [...ofThePlugin, new EventsUnavailable(), new EventRejected(), new DeadEvent('x')]) {
  if (!made.has(code)) made.set(code, undefined)
}
for (const { code, statusCode } of ofThePlugin) made.set(code, statusCode)

const ofRequests = rows(section(file, '## Errors of requests'))
const ofTheStart = rows(section(file, '## Errors of the start and of events'))
const written = [...ofRequests, ...ofTheStart]

t.test('every error code is explained, and none that does not exist', async t => {
  t.ok(ofThePlugin.length > 20)
  t.same(written.flatMap(([code]) => quoted(code)).sort(), [...made.keys()].sort())
})

t.test('every error code has a cause and a cure', async t => {
  for (const row of written) {
    t.equal(row.length, 4, row.join())
    t.ok(
      row.slice(2).every(cell => cell.length > 5),
      row.join(),
    )
  }
})

t.test('the status is the one that is answered', async t => {
  for (const [code, status] of ofRequests) {
    const known = made.get(quoted(code)[0] as string)
    if (known !== undefined) t.equal(Number(status), known, code ?? '')
  }
})

t.test('the table of the HTTP API agrees', async t => {
  for (const [codes, status] of rows(section('docs/http-api.md', '## Errors'))) {
    for (const code of quoted(codes)) t.equal(made.get(code), Number(status), code)
  }
})

t.test('the four problems have a heading each, with the symptom, the check and the cure', async t => {
  const text = readFileSync(file, 'utf8')
  const headings = [...text.matchAll(/^## \d\. .*$/gm)].map(([heading]) => heading)
  t.match(headings, [
    /1.*not found/,
    /2.*[Cc]onnection refused.*unavailable.*too many/,
    /3.*not consumed/,
    /4.*[Mm]igrations failed/,
  ])
  for (const heading of headings) {
    for (const part of ['**Symptom.**', '**Check.**', '**Cure.**']) {
      t.ok(section(file, heading).includes(part), `${heading}: ${part}`)
    }
  }
})

t.test('every line of the log that is quoted is one that a service writes', async t => {
  const sources = ['plugins', 'services', 'events'].flatMap(folder =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts'))
      .map(name => readFileSync(join(folder, name), 'utf8')),
  )
  // Words of lower case: codes and names of steps are others.
  const quotes = [
    ...readFileSync(file, 'utf8').matchAll(/\blog (?:has|says)\s`([a-z’ ;]+ [^`]+)`(?:\sor\s`([^`]+)`)?/g),
  ]
    .flatMap(([, first, second]) => [first, second])
    .filter(text => text !== undefined)
  t.ok(quotes.length > 5, quotes.join('; '))
  t.same(
    quotes.filter(text => !sources.some(source => source.includes(`'${text}`))),
    [],
  )
})
