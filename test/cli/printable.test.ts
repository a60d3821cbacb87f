// Text of others in output for people: no character that a terminal would act on or not show. Output for machines is
// exact.
import { PassThrough } from 'node:stream'
import t from 'tap'
import { createOutput } from '../../cli/output.js'
import { printableLines } from '../../cli/printable.js'

const unseen = [
  '\u001b',
  '\u0007',
  '\u009b',
  '\u007f',
  '\u202e',
  '\u2066',
  '\u200f',
  '\u061c',
  '\u200b',
  '\u200d',
  '\u2060',
  '\ufeff',
  '\u00ad',
  '\u180e',
  '\u3164',
  '\u115f',
  '\u034f',
  '\ufe0f',
  '\u2028',
  '\ud800',
  '\u{e0041}',
  '\ufff9',
]

const printed = (work: (output: ReturnType<typeof createOutput>) => void, json = false): string => {
  const out = new PassThrough()
  work(createOutput({ json }, out))
  return String(out.read() ?? '')
}

t.test('tables and lines show such a character by its number', async t => {
  for (const one of unseen) {
    const number = `<U+${(one.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')}>`
    t.equal(
      printed(output => output.line(`a${one}b`)),
      `a${number}b\n`,
    )
    t.match(
      printed(output => output.table(['name'], [[`a${one}b`]])),
      `a${number}b\n`,
    )
    t.equal(printableLines(`a${one}b\nc`), `a${number}b\nc`)
  }
  t.equal(
    printed(output => output.line('a\nb')),
    'a<U+000A>b\n',
    'a line is one line',
  )
  t.equal(
    printed(output => output.line('Zürich 漢 😀\tx')),
    'Zürich 漢 😀\tx\n',
  )
})

t.test('the document is exact', async t => {
  const text = unseen.join('')
  t.equal(JSON.parse(printed(output => output.document({ text }), true)).text, text)
  t.equal(
    printed(output => output.raw('\u001b[31mred')),
    '\u001b[31mred\n',
    'and raw output too',
  )
})
