// The runner itself: for every fault of a file `npm test` ends with a number that is not 0, prints the number of
// failures, and names each failure with its place in the source.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { inheritedEnvironment } from '../stack/service-environment.js'
import type { FileTime } from './report.js'

const files = {
  'good.test.js': "import t from 'tap'\nt.test('one', async t => t.pass())",
  'bad.test.js':
    "import t from 'tap'\nt.test('one', async t => {\n  t.equal(1, 2, 'the same')\n})\nt.test('two', async t => t.pass())",
  'empty.test.js': '',
  'thrown.test.js': "throw new Error('before any test')",
  'killed.test.js': "import t from 'tap'\nt.test('one', async t => { t.pass(); process.kill(process.pid, 'SIGKILL') })",
  'stuck.test.js': "import t from 'tap'\nt.test('one', async () => { await new Promise(() => {}) })",
  // A second of a processor, by a child of the test.
  'busy.test.js': `import { spawnSync } from 'node:child_process'
    import t from 'tap'
    const child = 'while (process.cpuUsage().user < 1e6) for (let i = 0; i < 1e6; i++);'
    t.test('one', async t => t.equal(spawnSync(process.execPath, ['-e', child]).status, 0))`,
  'left.test.js': "import t from 'tap'\nt.test('one', async t => t.pass())\nt.test('two', () => process.exit(0))",
}

t.test('npm test', async t => {
  // Inside of the package, where `tap` is found.
  const folder = mkdtempSync(join('dist', 'run-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const run = (...args: string[]) => {
    const words = args.map(arg => (arg.startsWith('-') ? arg : join(folder, arg)))
    const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/test/run.js', ...words], {
      env: inheritedEnvironment(process.env),
      encoding: 'utf8',
    })
    return { status, stdout, last: stdout.trim().split('\n').at(-1), stderr }
  }

  const good = run('good.test.js')
  t.match(good, { status: 0, last: '1 passed, 0 failed' })
  t.match(good.stdout, /^ +1\/1 ok +[\d.]+ s {2}\S+good\.test\.js {2}1 passed, 0 failed$/m, 'a line for each file')
  t.match(run('empty.test.js'), { status: 1, last: '0 passed, 1 failed' })
  const { status, last, stdout } = run(...Object.keys(files))
  t.equal(status, 1)
  t.equal(last, '4 passed, 6 failed', 'one of each, and the good beside them')
  const [lines = '', failures = ''] = stdout.split('What failed:')
  for (const name of ['bad', 'empty', 'thrown', 'killed', 'stuck', 'left']) {
    t.match(lines, new RegExp(`FAILED .*/${name}\\.test\\.js`))
    t.match(failures, new RegExp(`^\\S*/${name}\\.test\\.js`, 'm'), 'once more at the end')
  }
  t.match(failures, /bad\.test\.js:3:5\n {2}one > the same\n/, 'with its line and its test')
  t.match(failures, /diff:\n.*\n.*\n.*\n +-2\n +\+1\n/, 'and its diagnostics')
  t.match(failures, /thrown\.test\.js\n {2}ended by exit code 1\n[\s\S]*before any test/, 'and its output')
  t.match(failures, /killed\.test\.js[\s\S]*SIGKILL/)
  t.notMatch(failures, /good\.test\.js/)
  t.match(run('good.test.js', 'missing.test.js'), { status: 2, stderr: /missing\.test\.js/ }, 'nothing runs')
  t.match(run('nowhere'), { status: 2, stderr: /nowhere/ }, 'nor for a folder without tests')

  const timesFile = join(folder, 'times.json')
  const shared = run('--together', '--jobs=1', `--times=${timesFile}`, ...Object.keys(files))
  t.match(shared, { status: 1, last: '4 passed, 6 failed' }, 'the same for files in one process')
  t.match(shared.stdout, /^ +\d\/8 ok .*\/good\.test\.js/m)
  for (const name of ['bad', 'empty', 'thrown', 'killed', 'stuck', 'left'])
    t.match(shared.stdout, new RegExp(`FAILED .*/${name}\\.test\\.js`), 'no other file fails with it')
  times(t, timesFile, Object.keys(files))

  const tap = run('--tap', '--jobs=1', `--times=${timesFile}`, 'bad.test.js', 'good.test.js', 'busy.test.js')
  t.match(tap, { status: 1, last: '3 passed, 1 failed' })
  times(t, timesFile, ['bad.test.js', 'good.test.js', 'busy.test.js'])
  t.match(tap.stdout, /^not ok 1 - .*\/bad\.test\.js$/m, 'the TAP unchanged')
  t.match(tap.stdout, /^ {4}ok 2 - two/m)
  const grep = run('--grep=/two/', 'bad.test.js')
  t.match(grep, { status: 0, last: '1 passed, 0 failed, 1 skipped' }, 'options of tap go to tap')
})

/** The file has the time of each test file, that of its children included. */
function times(t: Test, path: string, names: readonly string[]): void {
  const all: FileTime[] = JSON.parse(readFileSync(path, 'utf8'))
  rmSync(path)
  const of = (name: string) => all.find(({ file }) => file.endsWith(`/${name}`))
  t.same(
    names.filter(name => !((of(name)?.seconds ?? -1) >= 0)),
    [],
    'each file has a time',
  )
  const [busy, good] = ['busy.test.js', 'good.test.js'].map(name => of(name)?.processorSeconds ?? null)
  // Only Linux's /proc has them.
  if (existsSync('/proc/self/stat')) t.ok(Number(busy) - Number(good) > 0.5, `${busy} s of a processor, ${good} s`)
  else t.same([busy, good], [null, null])
}
