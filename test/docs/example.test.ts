// The README's own service, from its text: its code and its migration are written to a folder and run unchanged.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connectEvents, createPublisher, encode, ensureTenantStream } from '../../events/index.js'
import { until } from '../until.js'
import { section } from './documents.js'
import { documentedPrograms, of } from './programs.js'

const text = section('README.md', '## In a service of your own')
const block = (language: string): string => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? ''

t.test('the README’s service makes its tenants’ databases and serves them', async t => {
  const { servers, init, start } = await documentedPrograms(t)
  const env = await init('billing')
  // Inside of the package, where its own name resolves to itself.
  const folder = mkdtempSync(join('dist', 'example-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const code = block('js').replace('port: 3004', `port: ${env.PORT}`)
  t.ok(code.includes(`${env.PORT}`))
  writeFileSync(join(folder, 'billing.js'), code)
  mkdirSync(join(folder, 'migrations'))
  writeFileSync(join(folder, 'migrations/001.do.invoices.sql'), block('sql'))

  const connection = connectEvents({ url: servers.nats.url, name: 'test' })
  t.teardown(() => connection.close())
  t.ok(await connection.ready(60_000))
  await ensureTenantStream(connection)
  const publisher = createPublisher(connection)
  const create = (id: string) =>
    publisher.publish({
      subject: 'tenant.created',
      messageId: `tenant.created:${id}:1`,
      payload: encode({ id, version: 1, name: id, domain: null, is_active: true, settings: {} }),
    })
  await create('old')
  // As exported before `init`, which writes it to the `.env` that the service is started with.
  const [, migrations = ''] = /\bTENANT_MIGRATIONS=(\S+)/.exec(text) ?? []
  const { ask } = start(t, join(folder, 'billing.js'), { ...env, TENANT_MIGRATIONS: join(folder, migrations) })
  await create('new')

  for (const tenant of ['old', 'new']) {
    await until(`${tenant} is served`, async () => (await ask('/invoices', { headers: of(tenant) }))?.status === 200)
  }
  const made = await ask('/invoices', { headers: of('old'), method: 'POST', body: '{"amount":42}' })
  t.equal(made?.status, 201)
  t.match(await (await ask('/invoices', { headers: of('old') }))?.json(), [{ amount: 42 }])
  t.same(await (await ask('/invoices', { headers: of('new') }))?.json(), [])
  t.equal((await ask('/invoices'))?.status, 400, 'and requires a tenant')
})
