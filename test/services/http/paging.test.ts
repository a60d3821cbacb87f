import t from 'tap'
import { anyText, decodeCursor, encodeCursor, isDay, isUuid, paged } from '../../../services/http/paging.js'

const id = '3f0c2a34-9a50-4c58-8f7e-1d2a0f5d9b11'

t.test('a cursor comes back as the key it was made of', async t => {
  const key = ['2024-02-29', id]
  t.same(decodeCursor(encodeCursor(key), [isDay, isUuid]), key)
  t.same(decodeCursor(encodeCursor(['Ångström "x"']), [anyText]), ['Ångström "x"'])
})

t.test('without a cursor there is no key', async t => {
  t.equal(decodeCursor(undefined, [anyText]), null)
})

t.test('an invented cursor is refused before it reaches SQL', async t => {
  const invented = [
    'nonsense',
    '',
    encodeCursor([]),
    encodeCursor(['a', 'b']),
    encodeCursor(['a\0b']),
    Buffer.from('{"0":"a"}').toString('base64url'),
    Buffer.from('[1]').toString('base64url'),
    Buffer.from('null').toString('base64url'),
  ]
  for (const cursor of invented) t.throws(() => decodeCursor(cursor, [anyText]), { code: 'CURSOR_INVALID' }, cursor)
  t.throws(() => decodeCursor(encodeCursor(['2024-13-01', id]), [isDay, isUuid]), { code: 'CURSOR_INVALID' })
  t.throws(() => decodeCursor(encodeCursor(['2024-01-01', 'x']), [isDay, isUuid]), { code: 'CURSOR_INVALID' })
})

t.test('a page has a next one only if there was one row too many', async t => {
  const keyOf = (n: number) => [String(n)]
  t.same(paged([1, 2], 2, keyOf), { items: [1, 2], next: null })
  t.same(paged([1, 2, 3], 2, keyOf), { items: [1, 2], next: encodeCursor(['2']) })
  t.same(paged([], 2, keyOf), { items: [], next: null })
})
