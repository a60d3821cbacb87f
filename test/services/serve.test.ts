import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { type Rig, rig, until } from '../rig.js'

const main = (name: string) => fileURLToPath(new URL(`../../services/${name}/main.js`, import.meta.url))

interface Ended {
  code: number | null
  out: string
  err: string
}

function run(t: Test, name: string, env: Record<string, string>) {
  const child = spawn(process.execPath, [main(name)], {
    // What a container waits for is none of these tests' business.
    env: { ...inheritedEnvironment(process.env), DOCKER_ENABLED: 'false', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    err += text
  })
  const ended = new Promise<Ended>(resolve => child.once('close', code => resolve({ code, out, err })))
  return { child, ended, out: () => out }
}

function environment({ servers, database }: Rig, port: number): Record<string, string> {
  const { host, port: databasePort, user, password } = database('employee')
  return {
    DB_HOST: host,
    DB_PORT: String(databasePort),
    DB_USERNAME: user,
    DB_PASSWORD: password ?? '',
    NATS_URL: servers.nats.url,
    REDIS_URL: servers.redis.url,
    PORT: String(port),
  }
}

async function answers(url: string): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    const response = await fetch(url, { headers: { connection: 'close' } }).catch(() => null)
    if (response?.status === 200) return true
    await sleep(50)
  }
  return false
}

const oneLine = /^[^\n]+\n$/

t.test('a wrong variable ends the start with one line that names it and the cure', async t => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ DB_PORT: 'abc' }, /DB_PORT is not usable: it must be a port from 1 to 65535/],
    [{ REDIS_URL: 'http://localhost' }, /REDIS_URL is not usable/],
    [{ DATABASE_ARCHITECTURE_MODE: 'hybrid' }, /DATABASE_ARCHITECTURE_MODE/],
    [{ SERVICE_NAME: 'core-service' }, /SERVICE_NAME says core-service.*set SERVICE_NAME=employee-service/],
    [{ DB_PASSWORD_FILE: '/nowhere/at/all' }, /DB_PASSWORD_FILE cannot be read \(ENOENT\)/],
  ]
  await Promise.all(
    wrong.map(async ([env, message]) => {
      const { code, out, err } = await run(t, 'employee', env).ended
      t.equal(code, 1, err)
      t.match(err, message)
      t.match(err, oneLine, 'one line, no stack')
      t.equal(out, '')
    }),
  )
})

t.test('in production the tenant header alone is not enough to start', async t => {
  const { code, err } = await run(t, 'employee', { NODE_ENV: 'production' }).ended
  t.equal(code, 1)
  t.match(err, /Tokens cannot be verified: set IDENTITY_URL/)
  t.match(err, oneLine)
})

t.test('a database that is not there ends the start with one line and without the password', async t => {
  const env = { DB_PORT: String(await freePort()), DB_PASSWORD: 'hunter2', REDIS_URL: '' }
  const { code, err } = await run(t, 'employee', env).ended
  t.equal(code, 1)
  t.match(err, /central database .* cannot be used .*check DB_HOST/)
  t.match(err, oneLine)
  t.notMatch(err, /hunter2/)
})

t.test('a process', async t => {
  const made = await rig(t, ['employee'])

  await t.test('says where it is ready, serves, and ends by itself on SIGTERM', async t => {
    const port = await freePort()
    const { child, ended, out } = run(t, 'employee', environment(made, port))
    t.ok(await answers(`http://127.0.0.1:${port}/api/health/ready`), out())
    // It may serve before the line has come through the pipe.
    await until('it says where', 10_000, () => out().includes(`employee-service is ready at http://127.0.0.1:${port}`))
    const begun = performance.now()
    child.kill('SIGTERM')
    const { code, out: said, err } = await ended
    t.equal(code, 0, err)
    t.ok(performance.now() - begun < 6000)
    t.match(said, /closing/)
    t.notMatch(said + err, new RegExp(made.database('employee').password ?? '-'), 'no password in the log')
    t.notMatch(said + err, new RegExp(made.servers.redis.password))
  })

  await t.test('with a client that holds its connection open ends all the same', async t => {
    const port = await freePort()
    const { child, ended } = run(t, 'employee', environment(made, port))
    t.ok(await answers(`http://127.0.0.1:${port}/api/health/ready`))
    const half = connect(port, '127.0.0.1')
    half.on('error', () => {})
    half.write('POST /api/employees HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n')
    await sleep(100)
    const begun = performance.now()
    child.kill('SIGTERM')
    t.equal((await ended).code, 0)
    t.ok(performance.now() - begun < 12_000)
    half.destroy()
  })

  await t.test('told twice leaves at once, and says so with its exit code', async t => {
    for (const [signal, wanted] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      const port = await freePort()
      const { child, ended, out } = run(t, 'employee', environment(made, port))
      t.ok(await answers(`http://127.0.0.1:${port}/api/health/ready`))
      const half = connect(port, '127.0.0.1')
      half.on('error', () => {})
      half.write('POST /api/employees HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n')
      await until('it was accepted', 10_000, () => out().includes('"url":"/api/employees"'))
      child.kill(signal)
      await until('it says that it closes', 10_000, () => /closing/.test(out()))
      t.equal(child.exitCode, null, 'it waits for the request it accepted')
      child.kill(signal)
      t.equal((await ended).code, wanted)
      half.destroy()
    }
  })

  await t.test('whose port is taken says so', async t => {
    const port = await freePort()
    const taker = createServer().listen(port, '127.0.0.1')
    t.teardown(() => taker.close())
    const { code, err } = await run(t, 'employee', environment(made, port)).ended
    t.equal(code, 1)
    t.match(err, /port is in use: set PORT/)
    t.match(err, oneLine)
  })
})
