// docs/own-service.md as its readers follow it: the service is written, installed from the packed tarball, compiled, tested, and
// started beside the stack, where it serves a tenant. Its other packages are links to those of the repository: no registry is asked.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { readStackFile, type StackInfo } from '../../stack/stack-file.js'
import { startChild } from '../child.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const page = readFileSync(join(root, 'docs/own-service.md'), 'utf8')
const block = (name: string): string => {
  const code = new RegExp(`^\`\`\`sh ${name}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)?.[1]
  if (!code) throw new Error(`docs/own-service.md has no block \`sh ${name}\``)
  return code
}

const env = { ...inheritedEnvironment(process.env), npm_config_update_notifier: 'false', npm_config_offline: 'true' }

function run(t: Test, cwd: string, file: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(file, args, { cwd, env }, (error, out, err) =>
      error ? reject(new Error(`${[file, ...args].join(' ')} failed:\n${out}${err}`)) : resolve(out),
    )
    t.teardown(() => child.kill('SIGKILL'))
  })
}

/** A copy of a checkout, so that no file of a stack running in the real one is used. */
function checkout(t: Test): string {
  const above = mkdtempSync(join(tmpdir(), 'own-service-'))
  t.teardown(() => rmSync(above, { recursive: true, force: true }))
  const folder = join(above, 'clone')
  mkdirSync(join(folder, '.stack'), { recursive: true })
  for (const name of ['package.json', 'dist', 'node_modules']) symlinkSync(join(root, name), join(folder, name))
  return folder
}

/** What `npm install` makes, from the packed tarball and the repository's own packages. */
async function install(t: Test, folder: string): Promise<void> {
  const modules = join(folder, 'node_modules')
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name: string }
  mkdirSync(join(modules, name), { recursive: true })
  const packed = await run(t, root, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder)
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }]
  await run(t, folder, 'tar', '-xzf', filename, '--strip-components=1', '-C', join(modules, name))
  for (const one of readdirSync(join(root, 'node_modules'))) {
    if (one !== name) symlinkSync(join(root, 'node_modules', one), join(modules, one))
  }
}

t.test('a new service is written, compiled, tested, and serves a tenant beside the stack', async t => {
  const clone = checkout(t)
  const billing = join(clone, '../billing')
  await run(t, clone, 'bash', '-ec', block('new'))
  await install(t, billing)

  await t.test('the packed command writes the same', async t => {
    const program = join(billing, 'node_modules/fastify-distributed-tenant/dist/cli/main.js')
    await run(t, clone, process.execPath, program, 'new', 'billing', '--dir', '../again')
    await run(t, clone, 'diff', '-r', '-x', 'node_modules', '-x', '*.tgz', '../again', billing)
  })

  await t.test('it compiles, and its test passes', async t => {
    const out = await run(t, billing, 'npm', 'test')
    t.match(out, /^\W*pass 3$/m)
    t.match(out, /^\W*fail 0$/m)
  })

  await t.test('beside the stack it becomes ready with a new tenant, and serves it', async t => {
    const folder = join(clone, '.stack')
    const stack = startChild(t, [join(root, 'dist/stack/main.js'), '--ports', '0', '--service', billing], {
      ...env,
      STACK_FOLDER: folder,
    })
    await stack.waitFor(/Ctrl-C ends everything/, 120_000)
    const answers = (await run(t, clone, 'bash', '-ec', block('try')))
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    const ready = { status: 'ready' }
    t.match(answers, [
      { id: 'acme', status: 'ready', services: { identity: ready, employee: ready, core: ready, billing: ready } },
      { id: 1, name: 'pen', quantity: 0 },
      { statusCode: 409, code: 'ALREADY_EXISTS' },
      [{ id: 1, name: 'pen' }],
    ])
    t.notMatch(JSON.stringify(answers[2]), /items_name_key|duplicate/, 'without PostgreSQL’s text')

    // Without it no tenant is ready, which is what makes it one of the services.
    const stop = startChild(t, [join(root, 'dist/stack/main.js'), 'stop', 'billing'], { ...env, STACK_FOLDER: folder })
    t.match(await stop.ended, { code: 0, out: /billing is stopped/ })
    const { services, adminToken } = readStackFile(folder) as StackInfo
    const response = await fetch(`${services.identity.url}/api/tenants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ id: 'globex', name: 'Globex' }),
    })
    t.match(await response.json(), { id: 'globex', status: 'pending', services: { billing: { status: 'pending' } } })

    const { code, err } = await stack.stop('SIGINT')
    t.equal(code, 0, err)
    t.match(stack.output(), /"service":"billing".*shutting down: accepted requests are finished/)
  })
})
