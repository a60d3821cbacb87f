// Compiles the schemas of a service's routes. It converts values that a URL carries as text, and lists a request's errors
// lengths first. Invariant: a pattern is never applied to a text that is longer than its schema allows.
import ajvFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import Format from 'typebox/format'
import { compileValidator } from '../../events/index.js'
import { fromText } from '../../events/json-schema.js'

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
    const converted = httpPart === 'body' ? value : convert(schema, value)
    // Fastify's type is narrower than its use of the list: it makes one error of it.
    return validator.Check(converted) ? { value: converted } : { error: validator.Errors(converted) as never }
  }
}

/** Each parameter that the schema knows; one that is given twice is a list, and stays one. */
function convert(schema: TSchema, value: unknown): unknown {
  const { properties = {} } = schema as { properties?: Readonly<Record<string, object>> }
  const given = value as Record<string, unknown>
  for (const [name, shape] of Object.entries(properties)) {
    const text = given[name]
    if (Object.hasOwn(given, name) && typeof text === 'string') given[name] = fromText(shape, text)
  }
  return given
}
