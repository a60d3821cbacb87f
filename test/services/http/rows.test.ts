import t from 'tap'
import { containing, rowOf } from '../../../services/http/rows.js'

const columns = { firstName: 'first_name', email: 'email' }

t.test('only listed fields become columns', async t => {
  const fields: { firstName: string; email: string } = Object.assign(
    { isAdmin: true },
    { firstName: 'Ada', email: 'ada@example.com' },
  )
  t.same(rowOf(columns, fields), { first_name: 'Ada', email: 'ada@example.com' })
})

t.test('an omitted field stays out, a null field is set to null', async t => {
  t.same(rowOf<{ firstName?: string | null; email?: string }>(columns, { firstName: null }), { first_name: null })
})

t.test('a search text is literal in a pattern', async t => {
  t.equal(containing('100%_\\'), '%100\\%\\_\\\\%')
})
