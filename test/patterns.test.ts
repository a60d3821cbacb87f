// Checks that every pattern for input does linear work, and that the length of every text is checked before its
// pattern.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ajvFormats from 'ajv-formats'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { LifecycleBody, StatusBody } from '../events/index.js'
import { environmentSchema } from '../plugins/distributed-tenant/config/environment-schema.js'
import { findSuperlinear } from './pattern-steps.js'
import { serviceRig } from './services/rig.js'

type Schema = Record<string, unknown>

/** Every schema inside a schema, with the path to it. */
function* within(schema: unknown, path = ''): Generator<{ path: string; schema: Schema }> {
  if (typeof schema !== 'object' || schema === null) return
  yield { path, schema: schema as Schema }
  for (const [key, inner] of Object.entries(schema)) yield* within(inner, `${path}/${key}`)
}

const isText = ({ pattern, format, type }: Schema): boolean =>
  (typeof pattern === 'string' || typeof format === 'string') && [type].flat().includes('string')

t.test('the counter distinguishes linear work from quadratic', async t => {
  for (const quadratic of [
    '^[^\\u0000\\p{Cs}]*[^\\s\\u0000\\p{Cs}][^\\u0000\\p{Cs}]*$',
    'a+$',
    '^(a+)+$',
    '^\\s*[^;]*;$',
    '\\s+$',
    '^x(?:a|aa)+$',
  ]) {
    t.ok(findSuperlinear(quadratic, 'u'), quadratic)
  }
  for (const linear of ['^a+$', '^[a-z]+(,[a-z]+)*$', 'ab', '^(?!\\s*$)[^\\0]*$', '^"(?:[^"\\\\]|\\\\.)*"$']) {
    t.equal(findSuperlinear(linear, 'u'), null, linear)
  }
  t.throws(() => findSuperlinear('(a)\\1', ''), /cannot read/)
})

const LITERAL = /(?<=[=(,:!&|?[\s])\/(?![*/])((?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+)\/([gimsuy]*)(?=[\s.,;)\]}]|$)/g

function literalsIn(text: string): { literal: string; source: string; flags: string }[] {
  const code = text.split('\n').filter(line => !/^\s*(\/\/|\/?\*)/.test(line))
  return code.flatMap(line =>
    [...line.matchAll(LITERAL)]
      .map(([literal, source = '', flags = '']) => ({ literal, source, flags }))
      .filter(({ source, flags }) => isPattern(source, flags)),
  )
}

/** Two divisions in a line are no pattern. */
function isPattern(source: string, flags: string): boolean {
  try {
    return new RegExp(source, flags).source !== ''
  } catch {
    return false
  }
}

t.test('every regular expression of the product does linear work', async t => {
  let seen = 0
  for (const top of ['events', 'plugins', 'services', 'operations', 'cli']) {
    for (const name of readdirSync(top, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))) {
      const file = join(top, name)
      for (const { literal, source, flags } of literalsIn(readFileSync(file, 'utf8'))) {
        seen++
        t.equal(findSuperlinear(source, flags), null, `${file} ${literal}`)
      }
    }
  }
  t.ok(seen > 50, `${seen} found`)
})

t.test('every pattern of a message and of the environment does linear work', async t => {
  for (const [name, schema] of Object.entries({ LifecycleBody, StatusBody, environmentSchema })) {
    for (const { path, schema: one } of within(schema)) {
      if (typeof one.pattern !== 'string') continue
      t.equal(findSuperlinear(one.pattern, 'u'), null, `${name}${path} ${one.pattern}`)
      if (name !== 'environmentSchema') t.type(one.maxLength, 'number', `${name}${path} has a length`)
    }
  }
})

/** Every schema of input of a service, as it is compiled. */
function inputsOf(app: FastifyInstance): { route: string; part: string; schema: Schema }[] {
  const { paths = {} } = app.swagger() as unknown as { paths?: Record<string, Record<string, Schema>> }
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { parameters = [], requestBody }]) => {
      const route = `${method.toUpperCase()} ${path}`
      const inUrl = (parameters as Schema[]).map(one => ({
        route,
        part: `${one.in} ${one.name}`,
        schema: one.schema as Schema,
      }))
      const content = (requestBody as { content?: Record<string, { schema: Schema }> } | undefined)?.content ?? {}
      const bodies = Object.values(content).map(({ schema }) => ({ route, part: 'body', schema }))
      return [...inUrl, ...bodies]
    }),
  )
}

/** Lengths of the longest texts that each regular expression was run on, by pattern. */
async function longestMet(work: () => Promise<unknown>): Promise<Map<string, number>> {
  const met = new Map<string, number>()
  const { exec, test } = RegExp.prototype
  const note = (pattern: RegExp, text: unknown) => {
    const { length } = String(text)
    if (length > (met.get(pattern.source) ?? 0)) met.set(pattern.source, length)
  }
  RegExp.prototype.exec = function (text) {
    note(this, text)
    return exec.call(this, text)
  }
  RegExp.prototype.test = function (text) {
    note(this, text)
    return test.call(this, text)
  }
  try {
    await work()
  } finally {
    Object.assign(RegExp.prototype, { exec, test })
  }
  return met
}

const LONG = 20_000
/** Beyond what any schema allows, and within what a URL may have. */
const LONG_IN_URL = 5_000

t.test('every text of a route has a length, a linear pattern, and runs it only within that length', async (t: Test) => {
  const names = ['identity', 'employee', 'core'] as const
  const all = new Set<string>()
  const { service } = await serviceRig(t, names)
  for (const name of names) {
    const app = await service(name, { source: false })
    await app.tenants.create({ id: 'acme', name: 'Acme' })
    const inputs = inputsOf(app)
    const patterns = new Set<string>()
    let texts = 0
    for (const { route, part, schema } of inputs) {
      for (const { path, schema: one } of within(schema)) {
        if (!isText(one)) continue
        texts++
        t.type(one.maxLength, 'number', `${name} ${route} ${part}${path} has a length`)
        if (typeof one.pattern === 'string') patterns.add(one.pattern)
        const format = typeof one.format === 'string' ? formatOf(one.format) : null
        if (format) patterns.add(format)
      }
    }
    t.ok(texts > 5, `${name}: ${texts} texts`)

    const met = await longestMet(async () => {
      for (const { route, part, schema } of inputs) {
        const [method, path = ''] = route.split(' ') as ['GET', string]
        const [where, parameter = ''] = part.split(' ')
        const inPath = path.replace(
          /\{\w+\}/g,
          where === 'path' ? 'a'.repeat(900) : '00000000-0000-4000-8000-000000000000',
        )
        const query = where === 'query' ? `?${parameter}=${'a'.repeat(LONG_IN_URL)}%00` : ''
        const fields = Object.keys((schema.properties ?? {}) as object)
        const body = Object.fromEntries(fields.map(field => [field, `${'a'.repeat(LONG)}\0`]))
        const response = await app.inject({
          method,
          url: inPath + query,
          headers: { 'hrms-client-id': 'acme', authorization: 'Bearer a-token-of-the-tests' },
          ...(where === 'body' && { payload: body }),
        })
        t.not(response.statusCode, 500, `${name} ${route} ${part}: ${response.statusCode}`)
      }
      // At the end: counting keeps the event loop busy, and an overloaded service refuses requests.
      for (const pattern of all) t.equal(findSuperlinear(pattern, 'u'), null, pattern)
    })
    for (const pattern of patterns) all.add(pattern)
    t.ok(met.size > 0)
    for (const pattern of patterns) t.ok((met.get(pattern) ?? 0) <= 2_000, `${name} ${pattern} met ${met.get(pattern)}`)
  }
})

function formatOf(name: string): string | null {
  const format = ajvFormats.default.get(name as 'email')
  return format instanceof RegExp ? format.source : null
}

t.test('an over-long text is refused for its length, and one of a lawful length for its pattern', async t => {
  const { compileRequest } = await import('../services/http/validation.js')
  const { email, text } = await import('../services/http/schemas.js')
  const { registerAjvFormats } = await import('@fastify/type-provider-typebox')
  const { Type } = await import('typebox')
  registerAjvFormats()
  const app = Fastify()
  t.teardown(() => app.close())
  app.setValidatorCompiler(compileRequest)
  app.post('/', { schema: { body: Type.Object({ name: text(10), email: Type.Optional(email) }) } }, async () => 'ok')
  const post = (payload: object) => app.inject({ method: 'POST', url: '/', payload })
  t.match((await post({ name: `${'a'.repeat(11)}\0` })).json().message, /more than 10/)
  t.match((await post({ name: 'a\0' })).json().message, /pattern/)
  t.match((await post({ name: ' \t' })).json().message, /pattern/)
  t.match((await post({ name: 'a', email: 'x' })).json().message, /format/)
  t.equal((await post({ name: ' a\n' })).statusCode, 200)
})
