// Bytes that are text, and those that are refused with the line.
import t from 'tap'
import { textOf } from '../../../files/text-file.js'

t.test('UTF-8 is read unchanged, without a byte order mark', async t => {
  t.equal(textOf(Buffer.from('Zürich 漢 😀\r\n')), 'Zürich 漢 😀\r\n')
  t.equal(textOf(Buffer.from('\ufeffcreate table a ()')), 'create table a ()')
  t.equal(textOf(Buffer.alloc(0)), '')
})

const refused: readonly (readonly [name: string, bytes: Buffer, message: string])[] = [
  [
    'Latin-1',
    Buffer.from('a\nb Zürich', 'latin1'),
    'holds bytes in line 2 that are no UTF-8 (Latin-1?): save it as UTF-8',
  ],
  [
    'a cut letter',
    Buffer.from('ok\n\nü').subarray(0, 5),
    'holds bytes in line 3 that are no UTF-8 (Latin-1?): save it as UTF-8',
  ],
  ['a zero byte', Buffer.from('create table a ();\nselect\0 1'), 'holds a zero byte in line 2: take it out'],
  ['UTF-16', Buffer.from('\ufeffselect 1', 'utf16le'), 'is UTF-16: save it as UTF-8'],
  ['UTF-16, high byte first', Buffer.from('\ufeffselect 1', 'utf16le').swap16(), 'is UTF-16: save it as UTF-8'],
  ['UTF-16 without a mark', Buffer.from('select 1', 'utf16le'), 'is UTF-16: save it as UTF-8'],
]
for (const [name, bytes, message] of refused) {
  t.test(`${name} is refused`, async t => t.throws(() => textOf(bytes), { message }))
}
