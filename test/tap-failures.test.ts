import t from 'tap'
import { TapFailures } from './tap-failures.js'

function failures(text: string): string {
  const seen = new TapFailures()
  for (const line of text.split('\n')) seen.read(line)
  return seen.lines.join('\n')
}

t.test('what failed stands there with its diagnostics, its test and its file, and nothing else does', async t => {
  const failed = `        not ok 2 - should be equal
          ---
          diff: |
            -1
            +2
          not ok: "a line of its own"
          ...
    not ok 1 - one # time=3ms
not ok 1 - dist/test/a.test.js # time=5ms`
  const text = `# Subtest: dist/test/a.test.js
    # Subtest: one
        ok 1 - should be equal
          ---
          of: "what passed"
          ...
${failed}
    ok 2 - two
ok 2 - dist/test/b.test.js
not ok 3 - dist/test/c.test.js # SKIP not here
# { total: 3 }`
  t.equal(failures(text), failed)
  t.equal(failures('ok 1 - a\n    ok 1 - one'), '')
})

t.test('long diagnostics are cut, and say so', async t => {
  const text = ['not ok 1 - a', '  ---', ...Array.from({ length: 100 }, (_, i) => `  line: ${i}`), '  ...']
  const lines = failures(text.join('\n')).split('\n')
  t.equal(lines.length, 62)
  t.equal(lines.at(-1), '  (42 more lines where it stands)')
})
