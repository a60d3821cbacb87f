// The programs of examples/, against real servers, with the identity service to make the tenants.
import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { claims, issuer, makeKey, tokenOf } from '../plugins/tokens/issuer.js'
import { until } from '../until.js'
import { rows } from './documents.js'
import { documentedPrograms, of, type Program } from './programs.js'

const adminToken = 'a-token-of-the-operator'
const identity = { SERVICE_TOKEN: 'a-token-of-the-services', TENANT_SPARES: '0' }

const sources = readdirSync('examples', { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))

/** The servers, identity, and tenants. */
async function stand(t: Test, tenants: readonly string[]) {
  const programs = await documentedPrograms(t)
  const own = await programs.init('identity', { ...identity, ADMIN_TOKEN: adminToken, TENANT_RETENTION_DAYS: '0' })
  const service = programs.start(t, 'dist/services/identity/main.js', own)
  await service.waitFor(/identity-service is ready/)
  const operate = async (method: string, path: string, body?: object) => {
    const response = await service.ask(`/api/tenants${path}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}` },
      ...(body && { body: JSON.stringify(body) }),
    })
    t.ok(response?.ok, `${method} ${path} ${response?.status}`)
  }
  const create = (id: string) => operate('POST', '', { id, name: `The ${id} company` })
  for (const id of tenants) await create(id)
  return {
    ...programs,
    create,
    remove: (id: string) => operate('DELETE', `/${id}`),
    init: (service: string, more?: Record<string, string>) =>
      programs.init(service, { ...identity, IDENTITY_URL: `http://127.0.0.1:${own.PORT}`, ...more }),
  }
}

const served = (program: Program, path: string, headers: Record<string, string>) =>
  until(`${path} is served`, async () => {
    if (program.process.exitCode !== null) throw new Error(`it ended:\n${program.output()}`)
    const response = await program.ask(path, { headers })
    return response?.status === 200 ? await response.json() : null
  })

t.test('each program is short, has a header with its purpose and its command, and is in the list', async t => {
  t.ok(sources.length >= 5)
  for (const name of sources) {
    const text = readFileSync(`examples/${name}`, 'utf8')
    t.ok(text.split('\n').length < 60, `${name} is short`)
    t.match(text, /^\/\/ \S.*\n\/\/ Run, with the variables of /, name)
    t.ok(text.includes(`node dist/examples/${name.replace(/\.ts$/, '.js')}`), `${name} names its command`)
  }
  const listed = rows(readFileSync('examples/README.md', 'utf8')).map(([cell = '']) => /\]\(([^)]+)\)/.exec(cell)?.[1])
  t.same(listed, sources.toSorted())
})

t.test('against real servers', async t => {
  const { init, start, look, create, remove } = await stand(t, ['acme', 'broken', 'globex'])

  await t.test('01: a route answers from the tenant’s database', async t => {
    const program = start(t, 'dist/examples/01-plugin.js', await init('notes'))
    t.same(await served(program, '/', of('acme')), { tenant: 'The acme company', database: 'tenant_acme_notes' })
    t.equal((await program.ask('/'))?.status, 400)
    t.equal((await program.ask('/', { headers: of('unknown') }))?.status, 404)
  })

  await t.test('02 and 03: a service, and a job over its tenants', async t => {
    const env = await init('billing')
    const service = start(t, 'dist/examples/02-own-service/main.js', env)
    const post = (tenant: string, body: object) =>
      service.ask('/invoices', { method: 'POST', headers: of(tenant), body: JSON.stringify(body) })
    const late = { amount: 42, due: '2020-01-31' }

    await t.test('the service makes its tenants’ databases and serves them', async t => {
      for (const id of ['acme', 'broken', 'globex']) {
        t.same(await served(service, '/invoices', of(id)), [])
        t.equal((await post(id, late))?.status, 201)
      }
      t.equal((await post('acme', { amount: 7, due: '2999-12-31' }))?.status, 201)
      t.match(await served(service, '/invoices', of('acme')), [{ ...late, reminded: false }, { amount: 7 }])
      t.equal((await post('acme', { amount: 'many', due: 'soon' }))?.status, 400)
    })

    await t.test('it finishes an accepted request after SIGTERM', async t => {
      const own = look(t, 'tenant_acme_billing')
      const held = await own.reserve()
      await held`begin`
      await held`lock table invoices`
      const answer = post('acme', late)
      const central = look(t, 'billing_central')
      await until('the insert waits for the lock', async () => {
        const [row] =
          await central`select 1 from pg_stat_activity where datname = 'tenant_acme_billing' and wait_event_type = 'Lock'`
        return row
      })
      service.process.kill('SIGTERM')
      await service.waitFor(/"msg":"closing"/)
      await held`commit`
      held.release()
      t.equal((await answer)?.status, 201)
      t.match(await service.ended, { code: 0, signal: null })
    })

    await t.test('the job does the others when one tenant fails, and skips those that are not ready', async t => {
      await look(t, 'tenant_broken_billing')`alter table invoices rename to elsewhere`
      // More than a page, before the others: none of them has a database.
      await look(
        t,
        'billing_central',
      )`insert into tenants (id, name) select 'a-' || n, 'waits' from generate_series(1, 120) n`
      const job = start(t, 'dist/examples/03-background-job.js', env)
      const { code, out } = await job.ended
      t.equal(code, 1, 'it reports that one failed')
      const lines = out
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
        .filter(({ tenant }) => tenant !== undefined)
      t.match(lines, [
        { tenant: 'acme', reminded: 2 },
        { tenant: 'broken', err: { message: /invoices/ } },
        { tenant: 'globex', reminded: 1 },
      ])
      t.equal(lines.length, 3)
      t.same(await look(t, 'tenant_acme_billing')`select reminded from invoices order by due`, [
        { reminded: true },
        { reminded: true },
        { reminded: false },
      ])
      await look(t, 'tenant_broken_billing')`alter table elsewhere rename to invoices`
      const again = await start(t, 'dist/examples/03-background-job.js', env).ended
      t.equal(again.code, 0, again.out)
      t.match(again.out, /"tenant":"broken","reminded":1/)
    })
  })

  await t.test('04: tokens of another issuer name their tenant', async t => {
    const key = makeKey('one')
    const { url } = await issuer(t, [key])
    const env = await init('profile', {
      TOKEN_KEYS_URL: url,
      TOKEN_ISSUER: 'the-issuer',
      TOKEN_AUDIENCE: 'the-audience',
    })
    const program = start(t, 'dist/examples/04-own-identity-provider.js', env)
    const bearer = (more: object = {}, by = key) => ({
      authorization: `Bearer ${tokenOf(by, claims({ tenant: undefined, tenant_id: 'acme', ...more }))}`,
    })
    const status = async (path: string, headers: Record<string, string>) =>
      (await program.ask(path, { headers }))?.status

    t.same(await served(program, '/me', bearer()), { user: 'user-1', tenant: 'acme' })
    t.same(await served(program, '/me', bearer({ tenant_id: 'globex' })), { user: 'user-1', tenant: 'globex' })
    t.equal(await status('/me', { ...bearer(), ...of('acme') }), 200, 'a header that agrees')
    t.equal(await status('/me', { ...bearer(), ...of('globex') }), 403, 'a header that does not')
    t.equal(await status('/me', of('acme')), 401, 'no token')
    t.equal(await status('/me', bearer({}, makeKey('one'))), 401, 'signed by another key')
    t.equal(await status('/me', bearer({ iss: 'another' })), 401, 'of another issuer')
    t.equal(await status('/me', bearer({ aud: 'another' })), 401, 'for another audience')
    t.equal(
      await status('/me', bearer({ tenant_id: undefined, tenant: 'acme' })),
      400,
      'with the tenant in another claim',
    )
    t.equal(await status('/admin', bearer()), 200)
    t.equal(await status('/admin', bearer({ roles: ['member'] })), 403, 'without the role')
  })

  await t.test(
    '05: the subscriber prints tenants that became ready and that were removed, and nothing else',
    async t => {
      const program = start(t, 'dist/examples/05-subscribe.js', await init('watch'))
      await program.waitFor(/^watch: acme became ready in \d+ ms$/m)
      await create('hooli')
      await program.waitFor(/^watch: hooli became ready in \d+ ms$/m)
      await remove('hooli')
      await program.waitFor(/^watch: hooli was removed$/m, 120_000)
      const { code, out } = await program.stop()
      t.equal(code, 0)
      const printed = out.split('\n').filter(line => line !== '' && !line.startsWith('{'))
      t.same(
        printed.filter(line => !/^watch: (acme|broken|globex|hooli) (became ready in \d+ ms|was removed)$/.test(line)),
        [],
      )
      t.notMatch(out, /(acme|broken|globex) was removed/)
    },
  )
})
