// `npm start` as a process, its services replaced by a stub: signals, the lock, services that die, and exit codes. A
// test ends its stack with one of a user's signals, and waits until each of its processes has ended.
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { readOwnServices } from '../../stack/own-service.js'
import { descendants, waitGone } from '../../stack/processes.js'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { readStackFile } from '../../stack/stack-file.js'
import { type Child, startChild } from '../child.js'

const main = fileURLToPath(new URL('../../stack/main.js', import.meta.url))
const stub = fileURLToPath(new URL('./stub-service.js', import.meta.url))

function launch(t: Test, folder: string, args = ['--ports', '0'], more: NodeJS.ProcessEnv = {}): Child {
  const env = { ...inheritedEnvironment(process.env), STACK_FOLDER: folder, STACK_SERVICE_PROGRAM: stub, ...more }
  return startChild(t, [main, ...args], env)
}

const ready = (launched: Child): Promise<void> => launched.waitFor(/Ctrl-C ends everything/)

function newFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'stack-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** @param launched a stack that is ready */
async function endsOn(t: Test, signal: NodeJS.Signals, launched: Child, folder: string): Promise<void> {
  const everyone = descendants(launched.process.pid as number)
  t.ok(everyone.length >= 8, 'three services, five servers')
  const { code, err } = await launched.stop(signal)
  t.equal(code, 0, `${signal}: ${err}`)
  t.ok(await waitGone(everyone, 60_000), `${signal} stops everything`)
  t.notOk(existsSync(join(folder, 'stack.json')))
}

t.test('a second start names the running one; after SIGKILL a new one starts; SIGHUP stops it', async t => {
  const folder = newFolder(t)
  const first = launch(t, folder)
  await ready(first)
  const info = readStackFile(folder)
  const second = launch(t, folder)
  t.equal((await second.ended).code, 1)
  t.match(second.output(), /already running/)
  t.ok(second.output().includes(info?.services.core.url ?? '?'))
  t.same(readStackFile(folder), info)

  const everyone = descendants(first.process.pid as number)
  first.process.kill('SIGKILL')
  const third = launch(t, folder)
  await ready(third)
  t.ok(await waitGone(everyone, 60_000))
  t.not(readStackFile(folder)?.adminToken, info?.adminToken)
  await endsOn(t, 'SIGHUP', third, folder)
})

t.test('of two simultaneous starts one continues; SIGTERM stops it', async t => {
  const folder = newFolder(t)
  const both = [launch(t, folder), launch(t, folder)]
  const loser = await Promise.race(both.map(one => one.ended.then(() => one)))
  t.equal((await loser.ended).code, 1)
  t.match(loser.output(), /another launcher|already running/)
  const other = both.find(one => one !== loser)
  if (!other) throw new Error('unreachable')
  await ready(other)
  await endsOn(t, 'SIGTERM', other, folder)
})

t.test('a taken port is named before anything is started', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const launched = launch(t, newFolder(t), ['--ports', String(port)])
  t.equal((await launched.ended).code, 1)
  t.match(launched.output(), new RegExp(`^Port ${port}.*npm start -- --ports 0`))
})

/** The folder of a service of the user's own, which runs the stub. */
function ownService(t: Test, manifest: object): string {
  const folder = newFolder(t)
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  return folder
}

t.test('services die, are stopped and are started again while the stack runs; SIGINT stops it', async t => {
  const folder = newFolder(t)
  const alone = launch(t, folder, ['stop', 'employee'])
  t.equal((await alone.ended).code, 1)
  t.match(alone.output(), /No stack of this checkout is running/)

  const own = ownService(t, { name: '@acme/billing-service', main: stub })
  mkdirSync(join(own, 'migrations'))
  const launched = launch(t, folder, ['--ports', '0', '--service', own])
  await ready(launched)
  const info = readStackFile(folder)
  const { identity, employee, core } = info?.services ?? {}
  const billing = info?.services.billing
  const isReady = async (url?: string) => (await fetch(`${url}/api/health/ready`)).status === 200
  const seen = async (verb: 'start' | 'stop', name: string) => {
    const { code, out, err } = await launch(t, folder, [verb, name]).ended
    t.equal(code, 0, out + err)
  }

  await t.test('one that dies is reported, the others continue, and it can be started again', async t => {
    await fetch(`${employee?.url}/die`).catch(() => {})
    await launched.waitFor(/employee ended with exit code 7/)
    t.ok(await isReady(core?.url))
    await seen('start', 'employee')
    t.ok(await isReady(employee?.url))
  })

  await t.test('one can be stopped and started', async t => {
    await seen('stop', 'employee')
    await t.rejects(isReady(employee?.url))
    await seen('start', 'employee')
    t.ok(await isReady(employee?.url))
  })

  await t.test(
    'a service of the user’s own is one of them, with a database, a NATS user and its migrations',
    async t => {
      t.equal(await (await fetch(`${billing?.url}/`)).text(), 'billing-service')
      t.match(billing, { database: { name: 'billing_central' }, migrations: { tenant: join(own, 'migrations') } })
      t.match(info?.nats.services.billing, /^nats:\/\/billing:/)
      t.not(billing?.database.port, core?.database.port)
      t.match(launched.output(), /4 x PostgreSQL/)
      await seen('stop', 'billing')
      await t.rejects(isReady(billing?.url))
      await seen('start', 'billing')
      t.ok(await isReady(billing?.url))
    },
  )

  await t.test('the stack stays when every service has died, and each can be started again', async t => {
    const services = Object.entries({ identity, core, employee })
    for (const [, one] of services) await fetch(`${one?.url}/die`).catch(() => {})
    // The employee service for the second time.
    await launched.waitFor(/(ended with exit code 7[\s\S]*){4}/)
    for (const [name, one] of services) {
      await seen('start', name)
      t.ok(await isReady(one?.url))
    }
  })

  await endsOn(t, 'SIGINT', launched, folder)
})

t.test('a second signal does not wait for a stubborn service, and leaves no process either', async t => {
  const folder = newFolder(t)
  const launched = launch(t, folder, ['--ports', '0'], { STUB: 'stubborn' })
  const { process: launcher } = launched
  await ready(launched)
  const everyone = descendants(launcher.pid as number)
  launcher.kill('SIGINT')
  // npm repeats a terminal's Ctrl-C at once: that is no second one.
  launcher.kill('SIGINT')
  await sleep(1200)
  t.equal(launcher.exitCode, null)
  t.equal((await launched.stop('SIGINT')).code, 0)
  t.ok(await waitGone(everyone, 60_000))
})

t.test('a folder that is no service is named before anything is started', async t => {
  const good = ownService(t, { name: 'billing', main: stub })
  const wrong: [folders: string[], says: RegExp][] = [
    [[newFolder(t)], /package\.json cannot be read \(ENOENT\): give --service/],
    [[ownService(t, { name: 'Bill ing', main: stub })], /is no service: use/],
    [[ownService(t, { name: 'core', main: stub })], /choose another name/],
    [[ownService(t, { name: 'billing' })], /has no `main`/],
    [[ownService(t, { name: 'billing', main: 'dist/main.js' })], /run `npm run build` in/],
    [[good, good], /Two services are named billing/],
  ]
  for (const [folders, says] of wrong) {
    t.throws(() => readOwnServices(folders, '/'), { message: says })
  }
  const launched = launch(t, newFolder(t), ['--service', 'nowhere'])
  t.equal((await launched.ended).code, 2)
  t.match(launched.output(), /nowhere\/package\.json cannot be read/)
})

t.test('identity starts first, and Ctrl-C meanwhile ends calmly, as a program that the signal ends', async t => {
  const launched = launch(t, newFolder(t), ['--ports', '0'], { STUB: 'deaf' })
  await launched.waitFor(/deaf: identity-service/)
  const everyone = descendants(launched.process.pid as number)
  const { code, err } = await launched.stop('SIGINT')
  t.equal(code, 130, err)
  t.notMatch(launched.output(), /deaf: (employee|core)|^ {4}at |Error/m)
  t.ok(await waitGone(everyone, 60_000))
})

t.test('a wrong option shows the usage', async t => {
  const wrong = [['--ports', 'many'], ['--nonsense'], ['stop'], ['stop', 'payroll'], ['burn', 'core']]
  const ended = await Promise.all(wrong.map(args => launch(t, newFolder(t), args).ended))
  t.same(
    ended.map(({ code }) => code),
    wrong.map(() => 2),
  )
})
