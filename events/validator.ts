// A schema compiled for input. Invariant: no pattern and no format meets a string that is longer than its schema allows,
// neither when a value is checked nor when its errors are listed. Depends on nothing outside the process.
import type { Static, TSchema } from 'typebox'
import type { Compile } from 'typebox/schema'
import { schemaLibrary } from './libraries.js'

type Compiled = ReturnType<typeof Compile>
type Flaws = ReturnType<Compiled['Errors']>[1]

export interface Validator<Schema extends TSchema = TSchema> {
  Check(value: unknown): value is Static<Schema>
  /** Types, lengths and ranges first; patterns and formats only when those hold. */
  Errors(value: unknown): Flaws
}

/** TypeBox checks a length before a pattern, and lists the errors of every keyword, whatever came before. */
export function compileValidator<Schema extends TSchema>(schema: Schema): Validator<Schema> {
  let compiled: { whole: Compiled; bounds: Compiled } | undefined
  /** At the first use, which most processes have for few of their schemas. */
  const compile = () => {
    const { Compile } = schemaLibrary()
    compiled ??= { whole: Compile(schema as TSchema), bounds: Compile(withoutPatterns(schema as TSchema)) }
    return compiled
  }
  return {
    Check: (value): value is Static<Schema> => compile().whole.Check(value),
    Errors(value) {
      const { whole, bounds } = compile()
      const [, beyond] = bounds.Errors(value)
      return beyond.length > 0 ? beyond : whole.Errors(value)[1]
    },
  }
}

function withoutPatterns<Schema>(schema: Schema): Schema {
  if (Array.isArray(schema)) return schema.map(withoutPatterns) as Schema
  if (typeof schema !== 'object' || schema === null) return schema
  const bare: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(schema)) {
    const isRule = (keyword === 'pattern' || keyword === 'format') && typeof value === 'string'
    if (!isRule) bare[keyword] = withoutPatterns(value)
  }
  return bare as Schema
}
