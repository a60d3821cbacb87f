import t from 'tap'
import { TapCount } from './tap-count.js'

function count(text: string) {
  const counted = new TapCount()
  for (const line of text.split('\n')) counted.read(line)
  const { passed, failed, skipped } = counted
  return { passed, failed, skipped }
}

t.test('a file without a test has proved nothing', async t => {
  t.same(count('ok 1 - a # SKIP no tests found'), { passed: 0, failed: 1, skipped: 0 })
  t.same(count('ok 1 - a'), { passed: 0, failed: 1, skipped: 0 })
  t.same(count('ok 1 - a {\n    1..0\n}\n    ok 1 - one\nok 2 - b'), { passed: 1, failed: 1, skipped: 0 })
  t.same(count('ok 1 - a # SKIP no pgbouncer'), { passed: 0, failed: 0, skipped: 1 }, 'and says so')
})

t.test('counts the files that have ended', async t => {
  const counted = new TapCount()
  for (const line of ['    ok 1 - one', 'ok 1 - a', 'not ok 2 - b {', '    not ok 1 - two', '}', '    ok 1 - three']) {
    counted.read(line)
  }
  t.equal(counted.files, 2)
})

t.test('counts tests, not files and not assertions', async t => {
  const text =
    '# Subtest: a\n    # Subtest: one\n        ok 1 - assertion\n    ok 1 - one\n    not ok 2 - two\nnot ok 1 - a'
  t.same(count(text), { passed: 1, failed: 1, skipped: 0 })
})

t.test('a file that fails without a failed test counts as one', async t => {
  t.same(count('not ok 1 - a {\n    1..0\n}\nok 2 - b {\n    ok 1 - one\n}'), { passed: 1, failed: 1, skipped: 0 })
  t.same(count('    ok 1 - one\nok 1 - a\nnot ok 2 - crashed'), { passed: 1, failed: 1, skipped: 0 })
})

t.test('skipped tests are neither passed nor failed', async t => {
  t.same(count('    ok 1 - one # SKIP no pgbouncer\n    ok 2 - two\nok 1 - a'), { passed: 1, failed: 0, skipped: 1 })
})
