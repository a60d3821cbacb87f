// Runs docs/tutorial.md unchanged: every block marked `sh`, in order, in one bash, against a stack started as `npm
// start` starts it, and checks the output of each block. Then the commands that README.md says to try.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { until } from './until.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tutorial = readFileSync(join(root, 'docs/tutorial.md'), 'utf8')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

interface Block {
  readonly heading: string
  readonly code: string
}

/** Blocks under one heading are one step. */
function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  let heading = ''
  for (const [, title, code] of text.matchAll(/^#{2,3} (.+)$|^```sh\n([\s\S]*?)^```$/gm)) {
    if (title) heading = title
    else if (code) blocks.push({ heading, code })
  }
  return blocks
}

/** A copy of a checkout, so that no file of a stack running in the real one is used. */
function checkout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'walk-'))
  for (const name of ['package.json', 'dist', 'node_modules']) symlinkSync(join(root, name), join(folder, name))
  mkdirSync(join(folder, '.stack'))
  return folder
}

/** By a spare that was ready, or made from the start when there was none yet. */
const stepsOf = ({ steps }: { steps: { step: string }[] }): string => steps.map(({ step }) => step).join()

function bash(script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise(resolve => {
    execFile('bash', ['-c', script], { cwd, env, timeout: 900_000 }, (error, stdout, stderr) => {
      resolve(`${stdout}${stderr}${error ? `\n@@@ failed\n${error.message}` : ''}`)
    })
  })
}

t.test('the tutorial', async t => {
  const folder = checkout()
  const env = { ...process.env, STACK_FOLDER: join(folder, '.stack'), npm_config_update_notifier: 'false' }
  const stack = spawn(process.execPath, ['dist/stack/main.js', '--ports', '0'], { cwd: folder, env, stdio: 'ignore' })
  const stopped = once(stack, 'exit')
  t.teardown(async () => {
    stack.kill('SIGINT')
    await stopped
    rmSync(folder, { recursive: true })
  })
  await until('the stack is up', () => existsSync(join(folder, '.stack/stack.json')))

  const blocks = blocksOf(tutorial)
  const script = blocks.map(({ code }, n) => `echo; echo '@@@ ${n}'\n${code}\n`).join('')
  const output = await bash(`set -e\n${script}`, folder, env)
  const printed = new Map<string, string>()
  for (const [, mark = '', text = ''] of output.matchAll(/^@@@ (.+)\n([\s\S]*?)(?=^@@@ |$(?![\s\S]))/gm)) {
    const heading = blocks[Number(mark)]?.heading ?? mark
    printed.set(heading, (printed.get(heading) ?? '') + text)
  }
  const step = (heading: string) => {
    const text = printed.get(heading)
    if (text === undefined)
      throw new Error(`docs/tutorial.md has no step "${heading}", only: ${[...printed.keys()].join('; ')}`)
    return text
  }
  /** The JSON documents that a step printed, one a line. */
  const answers = (heading: string) =>
    step(heading)
      .split('\n')
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line))

  t.equal(printed.get('failed'), undefined, 'no command failed')

  await t.test('a tenant is created and waited for', async t => {
    const [tenant] = answers('Create a tenant and wait for it')
    t.match(step('Create a tenant and wait for it'), /^201$/m)
    t.match(tenant, {
      name: 'Acme Corporation',
      status: 'ready',
      services: { identity: { status: 'ready' }, employee: { status: 'ready' }, core: { status: 'ready' } },
    })
    t.match(stepsOf(tenant.services.employee), /^(spare|claim,database,certificate,rights,schema),ready$/)
  })
  await t.test('its first user signs in, and the token is for this tenant alone', async t => {
    const [users, refused] = answers('Sign in')
    t.match(users, { items: [{ email: 'ada@acme.example', role: 'admin' }] })
    t.match(refused, { statusCode: 403, code: 'TENANT_FORBIDDEN' })
  })
  await t.test('without prefer the answer is 202 and its Location soon answers the same', async t => {
    const text = step('Create a tenant without waiting')
    t.match(text, /^HTTP\/1\.1 202/m)
    t.match(text, /^location: \/api\/tenants\/initech/im)
    t.match(answers('Create a tenant without waiting').at(-1), { id: 'initech', status: 'ready' })
  })
  await t.test('its data is written and read', async t => {
    const [employee, employees, department, leave, departments, leaves, user, users] = answers(
      "Work on the tenant's own data",
    )
    t.match(employees, { items: [employee] })
    t.match(departments, { items: [department] })
    t.match(leaves, { items: [leave] })
    t.match(users, { items: [{ email: 'ada@acme.example' }, user] })
    t.match(employee, { employeeNumber: 'E-1001', firstName: 'Ada' })
  })
  await t.test('another tenant sees nothing of it', async t => {
    t.same(answers('Read another tenant'), Array(3).fill({ items: [], next: null }))
  })
  await t.test('it is found by its host', async t => {
    t.match(answers('Name the tenant by its host'), [{ items: [{ employeeNumber: 'E-1001' }] }])
  })
  await t.test('bare bytes make a tenant in every service', async t => {
    t.match(step('Create a tenant by event'), /PONG/)
    const [tenant, employees] = answers('Create a tenant by event')
    t.match(tenant, { id: 'globex', name: 'Globex', version: 1, status: 'ready' })
    t.same(employees, { items: [], next: null })
  })
  await t.test('health answers on each service, with and without a tenant', async t => {
    const all = answers('Ask for health')
    t.equal(all.length, 6)
    for (const answer of all) t.equal(answer.status, 'healthy')
    t.same(
      all.map(answer => answer.tenant?.status),
      [undefined, undefined, undefined, 'ready', 'ready', 'ready'],
    )
  })
  await t.test('each instance holds its own service’s databases and no other', async t => {
    const lines = step('List the databases').trim().split('\n')
    const [{ id }] = answers('Create a tenant and wait for it')
    const expected = ['identity', 'employee', 'core'].flatMap(service =>
      [id, 'globex', 'initech'].sort().map(tenant => `${service}: tenant_${tenant}_${service}`),
    )
    t.same(lines.sort(), expected.sort())
  })
  await t.test('a tenant made while employee is stopped becomes ready there, step by step', async t => {
    const [before, after, employees] = answers('Create a tenant while employee is stopped')
    t.match(step('Create a tenant while employee is stopped'), /^202$/m)
    t.match(before, {
      status: 'pending',
      services: { identity: { status: 'ready' }, employee: { status: 'pending' }, core: { status: 'ready' } },
    })
    t.match(after, { status: 'ready', services: { employee: { status: 'ready' } } })
    t.match(stepsOf(after.services.employee), /^(spare|claim,database,certificate,rights,schema),ready$/)
    t.same(employees, { items: [], next: null })
  })
  await t.test('the tutorial can be run again: what it makes is there, and nothing fails', async t => {
    const again = await bash(`set -e\n${script}`, folder, env)
    t.notMatch(again, /@@@ failed/)
    t.notMatch(again, /"statusCode":(401|404|5\d\d)/)
    t.match(again, /"employeeNumber":"E-1001"/)
  })
  await t.test('the commands that README.md says to try work', async t => {
    const tries = [...readme.matchAll(/^```bash\n([\s\S]*?)^```$/gm)].find(([, code]) =>
      code?.includes('localhost:3001'),
    )
    const { services } = JSON.parse(readFileSync(join(folder, '.stack/stack.json'), 'utf8'))
    let code = tries?.[1] ?? ''
    for (const [port, name] of [
      [3001, 'identity'],
      [3002, 'employee'],
      [3003, 'core'],
    ] as const) {
      t.ok(code.includes(`localhost:${port}`), `${name} is tried`)
      code = code.replaceAll(`localhost:${port}`, services[name].url)
    }
    const lines = (await bash(`set -e\n${code.replaceAll(/^(curl .*)$/gm, '$1; echo')}`, folder, env))
      .trim()
      .split('\n')
    t.match(
      lines.map(line => JSON.parse(line)),
      // The tutorial has made it.
      [
        { code: 'TENANT_ID_TAKEN' },
        { items: [{ employeeNumber: 'E-1001' }] },
        { status: 'healthy', tenant: { status: 'ready' } },
      ],
    )
  })
  await t.test('Ctrl-C stops everything', async t => {
    stack.kill('SIGINT')
    t.same(await stopped, [0, null])
    t.notOk(existsSync(join(folder, '.stack/stack.json')))
  })
})
