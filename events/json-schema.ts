// JSON Schemas with TypeBox's types. TypeBox's own builder is hundreds of files more than its validation: to load it took each
// process of a service, and each command, a quarter of a second of a core. This makes the same schemas (a test compares them).
// Invariant: a schema is plain JSON Schema; only `Optional` leaves a mark, which no copy and no document shows.
import type { Type as TypeBox } from 'typebox'

type Options = Readonly<Record<string, unknown>>
type Schema = Record<string, unknown>

const OPTIONAL = '~optional'

/** Every property that is not {@link Type.Optional} is required. */
function object(properties: Record<string, Schema>, options?: Options): Schema {
  const required = Object.keys(properties).filter(name => !(OPTIONAL in (properties[name] as Schema)))
  return { type: 'object', ...(required.length > 0 && { required }), properties, ...options }
}

const optional = (schema: Schema): Schema => Object.defineProperty({ ...schema }, OPTIONAL, { value: true })

const of = (type: string) => (options?: Options) => ({ type, ...options })

/** The part of TypeBox's `Type` that is used. */
export const Type = {
  Array: (items: Schema, options?: Options) => ({ type: 'array', items, ...options }),
  Boolean: of('boolean'),
  Enum: (values: readonly unknown[], options?: Options) => ({ enum: values, ...options }),
  Integer: of('integer'),
  Literal: (value: unknown, options?: Options) => ({ type: typeof value, const: value, ...options }),
  Null: of('null'),
  Number: of('number'),
  Object: object,
  Optional: optional,
  /** Keys of any text. */
  Record: (_key: Schema, value: Schema, options?: Options) => ({
    type: 'object',
    patternProperties: { '^.*$': value },
    ...options,
  }),
  String: of('string'),
  Union: (anyOf: readonly Schema[], options?: Options) => ({ anyOf, ...options }),
  Unknown: (options?: Options) => ({ ...options }),
  Unsafe: (schema: Schema) => ({ ...schema }),
} as unknown as Pick<
  typeof TypeBox,
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Literal'
  | 'Null'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'Record'
  | 'String'
  | 'Union'
  | 'Unknown'
  | 'Unsafe'
>

/** What an environment or a URL carries as text, as its schema has it: a number or a boolean; else, and when it is none, the text. */
export function fromText(schema: object, text: string): string | number | boolean {
  const { type } = schema as { type?: unknown }
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (type !== 'integer' && type !== 'number') return text
  const number = Number(text)
  return text.trim() !== '' && Number.isFinite(number) ? number : text
}
