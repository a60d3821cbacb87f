// The project's schemas compared with those of TypeBox's own builder: the same documents, and the same values pass.
import t from 'tap'
import { Type as TypeBox } from 'typebox'
import { Compile } from 'typebox/compile'
import { Type } from '../../events/json-schema.js'
import { compileValidator } from '../../events/validator.js'

const build = (T: typeof Type) => ({
  array: T.Array(T.Integer({ minimum: 1 }), { maxItems: 2 }),
  boolean: T.Boolean({ default: true }),
  enumeration: T.Enum(['a', 'b'], { description: 'one' }),
  integer: T.Integer({ minimum: 0, maximum: 9 }),
  literal: T.Literal('a', { description: 'this' }),
  literalBoolean: T.Literal(true),
  nothing: T.Null({ description: 'none' }),
  number: T.Number({ exclusiveMinimum: 0 }),
  object: T.Object(
    { a: T.String(), b: T.Optional(T.Union([T.Null(), T.Integer()])), c: T.Object({}) },
    { title: 'Three', additionalProperties: false },
  ),
  allOptional: T.Object({ a: T.Optional(T.String({ maxLength: 3 })) }),
  record: T.Record(T.String(), T.Unknown(), { description: 'any' }),
  text: T.String({ pattern: '^a', maxLength: 3 }),
  union: T.Union([T.Literal('a'), T.Literal('b')], { description: 'either' }),
  unknown: T.Unknown(),
  unsafe: T.Unsafe<string | null>({ type: ['string', 'null'] }),
})

const values = [
  ...[null, true, false, 0, 1, -1, 1.5, 10, '', 'a', 'b', 'ab', 'abcd', 'é'],
  ...[[], [1], [0], [1, 2, 3], ['a'], {}, { a: 'x' }, { a: 1 }, { a: 'x', c: {} }, { a: 'x', b: null, c: {} }],
  ...[{ a: 'x', b: 'no', c: {} }, { a: 'x', c: {}, d: 1 }, { a: 'long enough' }, { 'any key\n': [] }],
]

t.test('a schema is the same as TypeBox’s', async t => {
  const [ours, theirs] = [build(Type), build(TypeBox)]
  for (const [name, schema] of Object.entries(ours)) {
    const other = theirs[name as keyof typeof theirs]
    t.equal(JSON.stringify(schema), JSON.stringify(other), name)
    const [mine, reference] = [compileValidator(schema), Compile(other)]
    for (const value of values) {
      t.equal(mine.Check(value), reference.Check(value), `${name}: ${JSON.stringify(value)}`)
      t.equal(mine.Errors(value).length > 0, !reference.Check(value))
    }
  }
})

t.test('an optional property stays optional in an extended object, and its document shows no mark', async t => {
  const { properties } = build(Type).allOptional
  t.notOk('required' in Type.Object(properties))
  t.same(Object.keys(properties.a), ['type', 'maxLength'])
})
