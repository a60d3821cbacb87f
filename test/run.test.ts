// The runner itself: whatever is wrong with a file, `npm test` ends with a number that is not 0 and says how many failed.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inheritedEnvironment } from '../stack/service-environment.js'

const files = {
  'good.test.js': "import t from 'tap'\nt.test('one', async t => t.pass())",
  'bad.test.js': "import t from 'tap'\nt.test('one', async t => t.fail())\nt.test('two', async t => t.pass())",
  'empty.test.js': '',
  'thrown.test.js': "throw new Error('before any test')",
  'killed.test.js': "import t from 'tap'\nt.test('one', async t => { t.pass(); process.kill(process.pid, 'SIGKILL') })",
  'stuck.test.js': "import t from 'tap'\nt.test('one', async () => { await new Promise(() => {}) })",
  'left.test.js': "import t from 'tap'\nt.test('one', async t => t.pass())\nt.test('two', () => process.exit(0))",
}

t.test('npm test', async t => {
  // Inside of the package, where `tap` is found.
  const folder = mkdtempSync(join('dist', 'run-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const run = (...names: string[]) => {
    const args = ['dist/test/run.js', ...names.map(name => join(folder, name))]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      env: inheritedEnvironment(process.env),
      encoding: 'utf8',
    })
    return { status, stdout, last: stdout.trim().split('\n').at(-1), stderr }
  }

  t.match(run('good.test.js'), { status: 0, last: '1 passed, 0 failed' })
  t.match(run('empty.test.js'), { status: 1, last: '0 passed, 1 failed' })
  const { status, last, stdout } = run(...Object.keys(files))
  t.equal(status, 1)
  t.equal(last, '3 passed, 6 failed', 'one of each, and the good beside them')
  for (const name of ['bad', 'thrown', 'killed', 'stuck', 'left']) {
    t.match(stdout, new RegExp(`^not ok .*/${name}\\.test\\.js`, 'm'))
  }
  const again = stdout.slice(stdout.indexOf('What failed:'))
  t.match(again, /not ok .*\/bad\.test\.js/, 'told once more at the end')
  t.notMatch(again, /^ok /m)
  t.match(run('good.test.js', 'missing.test.js'), { status: 2, stderr: /missing\.test\.js/ }, 'nothing runs')
})
