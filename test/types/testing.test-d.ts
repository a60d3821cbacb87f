// The types of the testing entry. Compiled with everything else; never run.
import Fastify, { type FastifyInstance } from 'fastify'
import type postgres from 'postgres'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import tokens from '../../plugins/tokens/index.js'
import { fakeTenancy, startTestServer, startTestTenancy, type TestTenancy } from '../../testing/index.js'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

export async function offered(app: FastifyInstance, own: postgres.Sql): Promise<void> {
  const tenancy = await startTestTenancy({ migrations: new URL('./migrations/', import.meta.url) })
  same<typeof tenancy, TestTenancy>(true)
  await startTestTenancy({ migrations: { central: './central', tenant: './tenant' }, service: 'billing', header: 'x' })
  await app.register(tokens, tenancy.tokens)
  await app.register(distributedTenant, { ...tenancy.options, maxConnections: 5 })
  const tenant = await tenancy.createTenant({ domain: 'acme.example.com', settings: { plan: 'gold' } })
  const rows = await tenant.sql<{ id: number }[]>`select 1 as id`
  same<(typeof rows)[number]['id'], number>(true)
  const user = tenant.user({ sub: 'ann', roles: ['clerk'], department: 7 })
  const { statusCode } = await user.inject(app, '/')
  same<typeof statusCode, number>(true)
  await user.inject(Fastify({ logger: true }), { method: 'POST', url: '/', payload: { a: 1 } })
  await fetch('http://localhost', { headers: user.headers })
  const { url } = await startTestServer({ databaseUrl: 'postgres://a@b' })
  same<typeof url, string>(true)
  await app.register(fakeTenancy, { tenants: [{ id: 'acme', sql: own, settings: { plan: 'gold' } }] })
}

export async function refused(app: FastifyInstance, tenancy: TestTenancy): Promise<void> {
  // @ts-expect-error a tenancy without migrations has no tables
  await startTestTenancy({ service: 'billing' })
  // @ts-expect-error roles are a list
  ;(await tenancy.createTenant()).user({ roles: 'clerk' })
  // @ts-expect-error every tenant has its client
  await app.register(fakeTenancy, { tenants: [{ id: 'acme' }] })
}
