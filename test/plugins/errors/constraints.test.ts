import createError from '@fastify/error'
import t from 'tap'
import { naming } from '../../../plugins/errors/index.js'

const Taken = createError('TAKEN', 'Taken: choose another.', 409)
const violation = (code: string, constraint_name?: string) => Object.assign(new Error('x'), { code, constraint_name })

t.test('a named constraint is thrown as its error', async t => {
  await t.rejects(naming({ a_key: Taken }, Promise.reject(violation('23505', 'a_key'))), { code: 'TAKEN' })
})

t.test('any other error passes unchanged', async t => {
  const others = [violation('23505', 'b_key'), violation('57014', 'a_key'), violation('23505'), new Error('gone')]
  for (const error of others) {
    t.equal(await naming({ a_key: Taken }, Promise.reject(error)).catch(caught => caught), error)
  }
})

t.test('a result passes', async t => {
  t.equal(await naming({}, Promise.resolve(7)), 7)
})
