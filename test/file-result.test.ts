import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Parser } from 'tap-parser'
import { FileResult, inSource } from './file-result.js'

function read(text: string, how: string | null = null) {
  const parser = new Parser()
  const result = new FileResult('test/a.test.ts', parser)
  parser.end(`TAP version 14\n${text}\n`)
  result.end(how)
  return result
}
const count = (text: string, how: string | null = null) => {
  const { passed, failed, skipped } = read(text, how)
  return { passed, failed, skipped }
}

t.test('a file without a test has proved nothing', async t => {
  t.same(count('1..0 # no tests found'), { passed: 0, failed: 1, skipped: 0 })
  t.same(count(''), { passed: 0, failed: 1, skipped: 0 })
  t.same(count('1..0 # no pgbouncer'), { passed: 0, failed: 0, skipped: 1 }, 'and reports it')
})

t.test('counts tests, not assertions', async t => {
  const text = '# Subtest: one\n    ok 1 - assertion\n    ok 2 - another\n    1..2\nok 1 - one\nnot ok 2 - two\n1..2'
  t.same(count(text), { passed: 1, failed: 1, skipped: 0 })
  t.same(count('ok 1 - one # SKIP no pgbouncer\nok 2 - two\n1..2'), { passed: 1, failed: 0, skipped: 1 })
  t.same(count('not ok 1 - one # TODO later\nok 2 - two\n1..2'), { passed: 1, failed: 0, skipped: 1 })
})

t.test('a file that fails without a failed test counts as one', async t => {
  t.same(count('ok 1 - one\n1..1', 'ended by exit code 1'), { passed: 1, failed: 1, skipped: 0 })
  t.same(count('ok 1 - one\n1..2'), { passed: 1, failed: 1, skipped: 0 }, 'a test is missing')
  t.same(count('not ok 1 - one\n1..1', 'ended by exit code 1'), { passed: 0, failed: 1, skipped: 0 })
})

t.test('a failure is reported once, at its place, with its diagnostics and the output of the file', async t => {
  const { failures } = read(
    `# Subtest: one
    ok 1 - fine
    not ok 2 - should be equal
      ---
      at:
        fileName: test/a.test.ts
        lineNumber: 3
        columnNumber: 7
      diff: |
        -1
        +2
      ...
    1..2
not ok 1 - one # time=3ms
  ---
  at:
    fileName: test/a.test.ts
    lineNumber: 1
    columnNumber: 1
  source: |
    t.test('one')
  ...
1..1`,
    'ended by exit code 1',
  )
  t.same(failures, ['test/a.test.ts:3:7\n  one > should be equal\n    diff:\n      -1\n      +2'])
  t.match(read('a line of its own', 'ended by SIGKILL').failures, [/SIGKILL\n {4}a line of its own/])
  t.match(read('# Subtest: stays\n    ok 1 - fine', 'ended by SIGKILL').failures.join('\n'), /stays/)
})

t.test('long diagnostics are cut, with a note', async t => {
  const lines = Array.from({ length: 100 }, (_, i) => `  line${i}: ${i}`)
  const [failure = ''] = read(['not ok 1 - a', '  ---', ...lines, '  ...', '1..1'].join('\n')).failures
  t.equal(failure.split('\n').length, 63)
  t.match(failure, /\(40 more lines: npm test -- --tap\)$/)
})

t.test('a place in a compiled file becomes its place in the source', async t => {
  mkdirSync('dist', { recursive: true })
  const folder = mkdtempSync(join('dist', 'map-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const map = { version: 3, sources: ['../../test/of.ts'], names: [], mappings: ';AACA,IAAI' }
  writeFileSync(join(folder, 'of.js.map'), JSON.stringify(map))
  t.equal(inSource(`at file:///x/${folder}/of.js:2:5`), 'at test/of.ts:2:5')
  t.equal(inSource(`at Test.one (${folder}/of.js:2:1)`), 'at Test.one (test/of.ts:2:1)')
  t.equal(inSource('dist/not-here.js:1:1'), 'dist/not-here.js:1:1')
})
