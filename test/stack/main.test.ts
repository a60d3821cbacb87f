import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { descendants, waitGone } from '../../stack/processes.js'
import { readStackFile } from '../../stack/stack-file.js'

const main = fileURLToPath(new URL('../../stack/main.js', import.meta.url))
const stub = fileURLToPath(new URL('./stub-service.js', import.meta.url))

function launch(t: Test, folder: string, args = ['--ports', '0'], more: NodeJS.ProcessEnv = {}) {
  const env = { ...process.env, STACK_FOLDER: folder, STACK_SERVICE_PROGRAM: stub, npm_lifecycle_event: '', ...more }
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const launched = { child, output: '', ended: once(child, 'close') as Promise<[number | null]> }
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', data => {
      launched.output += data
    })
  }
  return launched
}

async function ready(launched: { child: ChildProcess; output: string }): Promise<void> {
  while (!launched.output.includes('Ctrl-C ends everything')) {
    if (launched.child.exitCode !== null) throw new Error(launched.output)
    await once(launched.child.stdout ?? launched.child, 'data')
  }
}

function newFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'stack-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  t.test(`${signal} takes everything down with exit code 0`, async t => {
    const folder = newFolder(t)
    const launched = launch(t, folder)
    await ready(launched)
    const everyone = descendants(launched.child.pid as number)
    launched.child.kill(signal)
    t.same(await launched.ended, [0, null])
    t.ok(await waitGone(everyone, 2000))
    t.notOk(existsSync(join(folder, 'stack.json')))
  })
}

t.test('a second start says what is running; after SIGKILL a new one starts', async t => {
  const folder = newFolder(t)
  const first = launch(t, folder)
  await ready(first)
  const info = readStackFile(folder)
  const second = launch(t, folder)
  t.same(await second.ended, [1, null])
  t.match(second.output, /already running/)
  t.ok(second.output.includes(info?.services.core.url ?? '?'))
  t.same(readStackFile(folder), info)

  const everyone = descendants(first.child.pid as number)
  first.child.kill('SIGKILL')
  const third = launch(t, folder)
  await ready(third)
  t.ok(await waitGone(everyone, 10_000))
  t.not(readStackFile(folder)?.adminToken, info?.adminToken)
  third.child.kill('SIGINT')
  t.same(await third.ended, [0, null])
})

t.test('of two simultaneous starts one goes on', async t => {
  const folder = newFolder(t)
  const both = [launch(t, folder), launch(t, folder)]
  const outcome = await Promise.race(both.map(one => one.ended.then(() => one)))
  t.match(outcome.output, /another launcher|already running/)
  const other = both.find(one => one !== outcome)
  if (!other) throw new Error('unreachable')
  await ready(other)
  other.child.kill('SIGTERM')
  t.same(await other.ended, [0, null])
})

t.test('a taken port is named before anything is started', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const launched = launch(t, newFolder(t), ['--ports', String(port)])
  t.same(await launched.ended, [1, null])
  t.match(launched.output, new RegExp(`^Port ${port}.*npm start -- --ports 0`))
})

t.test('a service that dies is told, the others go on, and it can be started again', async t => {
  const folder = newFolder(t)
  const launched = launch(t, folder)
  await ready(launched)
  const { employee, core } = readStackFile(folder)?.services ?? {}
  await fetch(`${employee?.url}/die`).catch(() => {})
  while (!launched.output.includes('ended with exit code 7')) await once(launched.child.stderr ?? t, 'data')
  t.match(launched.output, /employee ended with exit code 7/)
  t.equal((await fetch(`${core?.url}/api/health/ready`)).status, 200)
  const start = launch(t, folder, ['start', 'employee'])
  t.same(await start.ended, [0, null], start.output)
  t.equal((await fetch(`${employee?.url}/api/health/ready`)).status, 200)
  launched.child.kill('SIGINT')
  t.same(await launched.ended, [0, null])
})

t.test('the stack stays when every service has died, and each can be started again', async t => {
  const folder = newFolder(t)
  const launched = launch(t, folder)
  await ready(launched)
  const services = Object.entries(readStackFile(folder)?.services ?? {})
  for (const [, { url }] of services) await fetch(`${url}/die`).catch(() => {})
  while (launched.output.split('ended with exit code 7').length <= services.length) {
    await once(launched.child.stderr ?? t, 'data')
  }
  for (const [name, { url }] of services) {
    const start = launch(t, folder, ['start', name])
    t.same(await start.ended, [0, null], start.output)
    t.equal((await fetch(`${url}/api/health/ready`)).status, 200)
  }
  launched.child.kill('SIGINT')
  t.same(await launched.ended, [0, null])
})

t.test('one service can be stopped and started while the stack runs', async t => {
  const folder = newFolder(t)
  const alone = launch(t, folder, ['stop', 'employee'])
  t.same(await alone.ended, [1, null])
  t.match(alone.output, /No stack of this checkout is running/)

  const launched = launch(t, folder)
  await ready(launched)
  const url = readStackFile(folder)?.services.employee.url
  const stop = launch(t, folder, ['stop', 'employee'])
  t.same(await stop.ended, [0, null], stop.output)
  await t.rejects(fetch(`${url}/api/health/ready`))
  const start = launch(t, folder, ['start', 'employee'])
  t.same(await start.ended, [0, null], start.output)
  t.equal((await fetch(`${url}/api/health/ready`)).status, 200)
  launched.child.kill('SIGINT')
  t.same(await launched.ended, [0, null])
})

t.test('a second signal does not wait for a stubborn service, and leaves nothing either', async t => {
  const folder = newFolder(t)
  const launched = launch(t, folder, ['--ports', '0'], { STUB: 'stubborn' })
  await ready(launched)
  const everyone = descendants(launched.child.pid as number)
  launched.child.kill('SIGINT')
  // npm repeats a terminal's Ctrl-C at once: that is no second one.
  launched.child.kill('SIGINT')
  await sleep(1200)
  t.equal(launched.child.exitCode, null)
  const before = Date.now()
  launched.child.kill('SIGINT')
  t.same(await launched.ended, [0, null])
  t.ok(Date.now() - before < 3000)
  t.ok(await waitGone(everyone, 2000))
})

t.test('a wrong option shows the usage', async t => {
  for (const args of [['--ports', 'many'], ['--nonsense'], ['stop'], ['stop', 'payroll'], ['burn', 'core']]) {
    const launched = launch(t, newFolder(t), args)
    t.same(await launched.ended, [2, null])
  }
})
