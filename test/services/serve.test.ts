import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import { rig } from '../rig.js'
import { environmentOf, startService } from './process.js'

const oneLine = /^[^\n]+\n$/

t.test('a wrong variable ends the start with one line that names it and the cure', async t => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ DB_PORT: 'abc' }, /DB_PORT is not usable: it must be a port from 1 to 65535/],
    [{ REDIS_URL: 'http://localhost' }, /REDIS_URL is not usable/],
    [{ DATABASE_ARCHITECTURE_MODE: 'hybrid' }, /DATABASE_ARCHITECTURE_MODE/],
    [{ SERVICE_NAME: 'core-service' }, /SERVICE_NAME is core-service.*set SERVICE_NAME=employee-service/],
    [{ DB_PASSWORD_FILE: '/nowhere/at/all' }, /DB_PASSWORD_FILE cannot be read \(ENOENT\)/],
  ]
  await Promise.all(
    wrong.map(async ([env, message]) => {
      const { code, out, err } = await startService(t, 'employee', env).ended
      t.equal(code, 1, err)
      t.match(err, message)
      t.match(err, oneLine, 'one line, no stack')
      t.equal(out, '')
    }),
  )
})

t.test('in production the tenant header alone is not enough to start', async t => {
  const { code, err } = await startService(t, 'employee', { NODE_ENV: 'production' }).ended
  t.equal(code, 1)
  t.match(err, /Tokens cannot be verified: set IDENTITY_URL/)
  t.match(err, oneLine)
})

t.test('a missing database ends the start with one line and without the password', async t => {
  const env = { DB_PORT: String(await freePort()), DB_PASSWORD: 'hunter2', REDIS_URL: '' }
  const { code, err } = await startService(t, 'employee', env).ended
  t.equal(code, 1)
  t.match(err, /central database .* cannot be used .*check DB_HOST/)
  t.match(err, oneLine)
  t.notMatch(err, /hunter2/)
})

t.test('a process', async t => {
  const made = await rig(t, ['employee'])
  await (await made.app('employee')).tenants.create({ id: 'acme', name: 'Acme' })
  const start = async (t: Test) => {
    const port = await freePort()
    const service = startService(t, 'employee', environmentOf(made, 'employee', port))
    await service.answers('/api/health/ready')
    return { ...service, port }
  }
  /** A client that sends a part of a request and never the rest. */
  const holdOpen = (port: number, text: string) => {
    const half = connect(port, '127.0.0.1')
    half.on('error', () => {})
    const headers = 'host: x\r\nhrms-client-id: acme\r\ncontent-type: application/json\r\ncontent-length: 10\r\n'
    half.write(`POST /api/employees HTTP/1.1\r\n${headers}${text}`)
    return half
  }

  await t.test('logs its address, serves, and ends by itself on SIGTERM', async t => {
    const { port, stop, waitFor } = await start(t)
    // It may serve before the line has come through the pipe.
    await waitFor(new RegExp(`employee-service is ready at http://127\\.0\\.0\\.1:${port}`))
    const { code, out: output, err } = await stop()
    t.equal(code, 0, err)
    t.match(output, /shutting down/)
    t.notMatch(output + err, new RegExp(made.database('employee').password ?? '-'), 'no password in the log')
    t.notMatch(output + err, new RegExp(made.servers.redis.password))
  })

  await t.test('with a client that holds its connection open ends all the same', async t => {
    const { port, stop } = await start(t)
    const half = holdOpen(port, '')
    await sleep(100)
    t.equal((await stop()).code, 0)
    half.destroy()
  })

  await t.test('a second signal ends it at once, with a log line and its exit code', async t => {
    for (const [signal, wanted] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      const { port, process: child, waitFor, stop } = await start(t)
      const half = holdOpen(port, '\r\n')
      await waitFor(/"url":"\/api\/employees"/)
      child.kill(signal)
      await waitFor(/shutting down/)
      t.equal(child.exitCode, null, 'it waits for the request it accepted')
      t.equal((await stop(signal)).code, wanted)
      half.destroy()
    }
  })

  await t.test('whose port is taken logs that', async t => {
    const port = await freePort()
    const taker = createServer().listen(port, '127.0.0.1')
    t.teardown(() => taker.close())
    const { code, err } = await startService(t, 'employee', environmentOf(made, 'employee', port)).ended
    t.equal(code, 1)
    t.match(err, /port is in use: set PORT/)
    t.match(err, oneLine)
  })
})
