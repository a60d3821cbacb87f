// Compiles the schemas of a service's routes. It converts what a URL can only carry as text, and lists a request's errors
// lengths first. Invariant: no pattern meets a text that is longer than its schema allows.
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { compileValidator } from '../../events/index.js'

export const compileRequest: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = compileValidator(schema)
  return value => {
    const converted = httpPart === 'body' ? value : Value.Convert(schema, value)
    // Fastify's type is narrower than what it does with the list: it makes one error of it.
    return validator.Check(converted) ? { value: converted } : { error: validator.Errors(converted) as never }
  }
}
