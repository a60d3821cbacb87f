// The README's own service, from its text: its code and its migration are written to a folder and run as they stand.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connectEvents, createPublisher, encode, ensureTenantStream } from '../../events/index.js'
import { freePort } from '../../stack/servers/ports.js'
import { startServers } from '../../stack/servers/start.js'
import { until } from '../rig.js'
import { section } from './documents.js'

const text = section('README.md', '## In a service of your own')
const block = (language: string): string => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? ''

t.test('the README’s service makes its tenants’ databases and serves them', async t => {
  const servers = await startServers<string>({ services: ['billing'] })
  t.teardown(() => servers.stop())
  // Inside of the package, where its own name leads to itself.
  const folder = mkdtempSync(join('dist', 'example-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const port = await freePort()
  const code = block('js').replace('port: 3004', `port: ${port}`)
  t.ok(code.includes(String(port)))
  writeFileSync(join(folder, 'billing.js'), code)
  mkdirSync(join(folder, 'migrations'))
  writeFileSync(join(folder, 'migrations/001.do.invoices.sql'), block('sql'))

  const server = servers.postgres.billing
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    DB_HOST: '127.0.0.1',
    DB_PORT: String(server?.port),
    DB_USERNAME: 'billing_service',
    DB_PASSWORD: 'choose-one',
  }
  const init = ['dist/cli/main.js', 'init', '--service', 'billing', '--write-env', join(folder, '.env')]
  execFileSync(process.execPath, init, { env: { ...env, INIT_PASSWORD: server?.password }, stdio: 'pipe' })

  const connection = connectEvents({ url: servers.nats.url, name: 'test' })
  t.teardown(() => connection.close())
  t.ok(await connection.ready(5000))
  await ensureTenantStream(connection)
  const publisher = createPublisher(connection)
  const create = (id: string) =>
    publisher.publish({
      subject: 'tenant.created',
      messageId: `tenant.created:${id}:1`,
      payload: encode({ id, version: 1, name: id, domain: null, is_active: true, settings: {} }),
    })
  await create('old')

  const child = spawn(process.execPath, [join(folder, 'billing.js')], {
    env: { ...env, SERVICE_NAME: 'billing-service', NATS_URL: servers.nats.url, REDIS_URL: servers.redis.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.resume()
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  })
  await create('new')

  const ask = (tenant: string, more?: RequestInit) =>
    fetch(`http://127.0.0.1:${port}/invoices`, {
      ...more,
      headers: { 'HRMS-Client-ID': tenant, 'content-type': 'application/json' },
    }).catch(() => undefined)
  for (const tenant of ['old', 'new']) {
    await until(`${tenant} is served`, 20_000, async () => (await ask(tenant))?.status === 200)
  }
  const made = await ask('old', { method: 'POST', body: '{"amount":42}' })
  t.equal(made?.status, 201)
  t.match(await (await ask('old'))?.json(), [{ amount: 42 }])
  t.same(await (await ask('new'))?.json(), [])
  t.equal((await fetch(`http://127.0.0.1:${port}/invoices`)).status, 400, 'and wants a tenant')
})
