// The command `new`: what it writes, and what it refuses without changing anything. Whether the written service runs is tried by
// test/docs/own-service.test.ts.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { newServiceFiles, writeNewService } from '../../operations/new-service.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

const written = [
  '.dockerignore',
  '.gitignore',
  'Dockerfile',
  'README.md',
  'migrations/001.do.items.sql',
  'migrations/001.undo.items.sql',
  'package.json',
  'src/app.test.ts',
  'src/app.ts',
  'src/items.ts',
  'src/main.ts',
  'tsconfig.json',
]

function newFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'new-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const command = (cwd: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise(resolve => {
    execFile(process.execPath, [program, 'new', ...args], { cwd, env: {} }, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err })
    })
  })

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()

t.test('it writes a service of the given name, and --dry-run and --help list the same files', async t => {
  const cwd = newFolder(t)
  const [help, dry] = await Promise.all([command(cwd, '--help'), command(cwd, 'payroll', '--dry-run', '--json')])
  t.same(JSON.parse(dry.out), { service: 'payroll', folder: join(cwd, 'payroll'), files: written, written: false })
  t.same(readdirSync(cwd), [], '--dry-run writes nothing')
  for (const file of written) t.ok(help.out.includes(`  ${file}\n`), file)

  const { code, out, err } = await command(cwd, 'payroll-service', '--dir', 'services/pay')
  t.equal(code, 0, err)
  t.match(out, /npm install && npm test/)
  const folder = join(cwd, 'services/pay')
  t.same(filesIn(folder), written)
  const all = written.map(file => readFileSync(join(folder, file), 'utf8')).join('\n')
  t.notMatch(all, /billing/i, 'the name of the template is nowhere')
  t.match(all, /DB_USERNAME=payroll_service/)
  t.equal(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name, 'payroll')
})

t.test('a folder that is not empty, or is none, is left as it is', async t => {
  const cwd = newFolder(t)
  mkdirSync(join(cwd, 'billing'))
  writeFileSync(join(cwd, 'billing/.hidden'), 'mine')
  writeFileSync(join(cwd, 'file'), 'mine')
  const calls = [
    ['billing'],
    ['billing', '--dry-run'],
    ['billing', '--dir', 'file'],
    ['billing', '--dir', 'file/below'],
  ]
  const ended = await Promise.all(calls.map(args => command(cwd, ...args)))
  for (const [index, { code, err }] of ended.entries()) {
    t.equal(code, 2, `${calls[index]}`)
    t.match(err, /--dir/)
  }
  t.same(filesIn(cwd), ['billing/.hidden', 'file'])
})

t.test('what is no name of a service is refused', async t => {
  const cwd = newFolder(t)
  const names = ['Billing', 'bill-ing', '2bill', '../billing', 'a-name-of-sixteen', 'identity', '-service', '']
  const ended = await Promise.all(names.map(name => command(cwd, '--', name)))
  for (const [index, { code, err }] of ended.entries()) {
    t.equal(code, 2, `${names[index]}`)
    t.match(err, /is no name of a service: use|choose another name/)
  }
  t.same(readdirSync(cwd), [])
})

t.test('when a file cannot be written, those before it are removed again', async t => {
  const folder = newFolder(t)
  const files = newServiceFiles('billing')
  // Its folder is a file by then.
  const last = { path: 'package.json/below', text: '' }
  t.throws(() => writeNewService(join(folder, 'deep/billing'), [...files, last]), { message: /cannot be written \(E/ })
  t.notOk(existsSync(join(folder, 'deep')), 'nor a folder that was made')
  mkdirSync(join(folder, 'empty'))
  t.throws(() => writeNewService(join(folder, 'empty'), [...files, last]))
  t.same(readdirSync(join(folder, 'empty')), [])
})

t.test('no template holds a secret, and the versions are those that are tested', async t => {
  const own = JSON.parse(readFileSync('package.json', 'utf8'))
  const files = newServiceFiles('billing')
  const manifest = JSON.parse(files.find(({ path }) => path === 'package.json')?.text ?? '')
  const installed = (name: string): string =>
    JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version
  for (const [name, range] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    t.equal(range, `^${name === own.name ? own.version : installed(name)}`, name)
  }
  t.notOk(files.some(({ path }) => path === '.env'))
  for (const { path, text } of files) t.notMatch(text, /(PASSWORD|SECRET|TOKEN)=(?!the-superusers)\S/, path)
})
