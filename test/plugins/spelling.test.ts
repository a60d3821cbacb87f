// Misspelt options of the plugins beside the tenant plugin, of the ORMs' entries and of the testing entry.
import { readFileSync } from 'node:fs'
import Fastify, { type FastifyPluginAsync } from 'fastify'
import t from 'tap'
import { TenantDialect } from '../../orms/kysely/index.js'
import { Pool } from '../../orms/pg/index.js'
import { createPrisma } from '../../orms/prisma/index.js'
import { fakeTenancy, startTestServer, startTestTenancy } from '../../testing/index.js'

const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, string> }
/** Entries that are no plugin with options, and the tenant plugin, which has a test of its own. */
const others = ['.', './drain', './events', './kysely', './pg', './prisma', './testing']
const refusal = (of: string) => ({
  code: 'CONFIGURATION_INVALID',
  message: new RegExp(`no option colour of ${of}: there `),
})

for (const [entry, file] of Object.entries(exports).filter(([name]) => !others.includes(name))) {
  const name = entry.slice(2)
  t.test(`an option of ${name} that does not exist is refused by name`, async t => {
    const plugin = (await import(`../../${file.replace('./dist/', '')}`)).default as FastifyPluginAsync
    const registering = async (options: object) => {
      const app = Fastify()
      t.teardown(() => app.close().catch(() => {}))
      await app.register(fakeTenancy, { tenants: [] })
      await app.register(plugin, options)
    }
    await t.rejects(registering({ colour: 1 }), refusal(name))
    await t.rejects(registering({ colour: 1, prefix: '/x', logLevel: 'warn' }), refusal(name))
  })
}

t.test('one that is nearly right is named', async t => {
  const { default: metrics } = await import('../../plugins/metrics/index.js')
  const app = Fastify()
  t.teardown(() => app.close().catch(() => {}))
  await app.register(fakeTenancy, { tenants: [] })
  const misspelt = { tokem: 'a secret' } as object
  await t.rejects(Promise.resolve(app.register(metrics, misspelt)), {
    message: /no option tokem of metrics: write token\./,
  })
})

t.test('an option of another kind is refused by name, and its value is not shown', async t => {
  const wrong: [entry: string, options: object, says: string][] = [
    ['audit', { stream: 'false' }, 'stream of audit must be true or false, and is a string'],
    ['audit', { secret: 12345 }, 'secret of audit must be a string, and is a number'],
    [
      'console',
      { services: {}, token: 'x', authorizeOperator: {} },
      'authorizeOperator of console must be a function, and is an object',
    ],
    ['health', { interval: '60000' }, 'interval of health must be a number, and is a string'],
    ['metrics', { token: ['a'] }, 'token of metrics must be a string, and is a list'],
    ['overload', { maxHeapShare: '0.9' }, 'maxHeapShare of overload must be a number, and is a string'],
    ['tracing', { enabled: 'false' }, 'enabled of tracing must be true or false, and is a string'],
  ]
  for (const [entry, options, says] of wrong) {
    const plugin = (await import(`../../${(exports[`./${entry}`] as string).replace('./dist/', '')}`))
      .default as FastifyPluginAsync
    const app = Fastify()
    t.teardown(() => app.close().catch(() => {}))
    await app.register(fakeTenancy, { tenants: [] })
    await t.rejects(Promise.resolve(app.register(plugin, options)), {
      code: 'CONFIGURATION_INVALID',
      message: `The option ${says}.`,
    })
  }
})

t.test('so are those of functions and classes', async t => {
  const tenants = { follow: () => () => null as never }
  const colour = { colour: 1 } as object
  t.throws(() => new Pool({ tenants, ...colour }), refusal('Pool'))
  t.throws(() => new TenantDialect({ tenants, ...colour }), refusal('TenantDialect'))
  t.throws(() => createPrisma({ tenants, ...colour }, () => ({})), refusal('createPrisma'))
  await t.rejects(startTestServer(colour), refusal('startTestServer'))
  await t.rejects(startTestTenancy({ migrations: 'x', ...colour }), refusal('startTestTenancy'))
  const tenant = { id: 'acme', sql: null, ...colour }
  await t.rejects(
    Promise.resolve(Fastify().register(fakeTenancy, { tenants: [tenant] })),
    refusal('a tenant of fakeTenancy'),
  )
  await t.rejects(Promise.resolve(Fastify().register(fakeTenancy, { tenants: [], ...colour })), refusal('fakeTenancy'))
})
