// Compiles the schemas of a service's routes. It converts what a URL can only carry as text, and lists a request's errors
// lengths first. Invariant: no pattern meets a text that is longer than its schema allows.
import ajvFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import Format from 'typebox/format'
import { compileValidator } from '../../events/index.js'

/** Those that schemas of services name. Answers are written by Fastify, which takes them from the same package. */
const FORMATS = ['date', 'date-time', 'email'] as const

export function registerFormats(): void {
  for (const name of FORMATS) {
    const format = ajvFormats.default.get(name)
    if (format instanceof RegExp) Format.Set(name, text => format.test(text))
    else if (typeof format === 'function') Format.Set(name, format)
    else if (typeof format === 'object' && typeof format.validate === 'function')
      Format.Set(name, format.validate as (text: string) => boolean)
  }
}

export const compileRequest: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = compileValidator(schema)
  return value => {
    const converted = httpPart === 'body' ? value : fromText(schema, value)
    // Fastify's type is narrower than what it does with the list: it makes one error of it.
    return validator.Check(converted) ? { value: converted } : { error: validator.Errors(converted) as never }
  }
}

interface Shape {
  readonly type?: unknown
  readonly properties?: Readonly<Record<string, Shape>>
}

/** What is no number stays the text that it is, and is refused as such. */
function fromText(schema: Shape, value: unknown): unknown {
  if (typeof value === 'string') {
    if (schema.type === 'integer') return Number.isFinite(+value) ? Math.trunc(+value) : value
    if (schema.type === 'number') return Number.isFinite(+value) ? +value : value
    if (schema.type === 'boolean') return /^(true|1)$/i.test(value) ? true : /^(false|0)$/i.test(value) ? false : value
    return value
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const given = value as Record<string, unknown>
  for (const [name, shape] of Object.entries(schema.properties ?? {})) {
    if (Object.hasOwn(given, name)) given[name] = fromText(shape, given[name])
  }
  return given
}
