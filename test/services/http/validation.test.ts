// Values that a URL can only hold as text, converted to the types of the routes' schemas.
import Fastify from 'fastify'
import t from 'tap'
import { Type } from '../../../events/json-schema.js'
import { compileRequest } from '../../../services/http/validation.js'

t.test('a number or a boolean of a URL is converted, and an invalid one is refused', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.setValidatorCompiler(compileRequest)
  const querystring = Type.Object(
    {
      count: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
      share: Type.Optional(Type.Number()),
      all: Type.Optional(Type.Boolean()),
      text: Type.Optional(Type.String()),
    },
    { additionalProperties: false },
  )
  app.get('/', { schema: { querystring } }, async request => request.query)
  const get = async (query: string) => {
    const answer = await app.inject(`/?${query}`)
    return answer.statusCode === 200 ? answer.json() : answer.statusCode
  }
  t.same(await get('count=7&share=1.5&all=true&text=7'), { count: 7, share: 1.5, all: true, text: '7' })
  t.same(await get('all=false'), { all: false })
  for (const query of [
    'count=x',
    'count=10',
    'count=1.5',
    'count=',
    'count=1&count=2',
    'share=NaN',
    'all=1',
    'other=1',
  ])
    t.equal(await get(query), 400, query)
})
