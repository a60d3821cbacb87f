import t from 'tap'
import { readEnvironment } from '../../../plugins/distributed-tenant/config/environment.js'
import { until } from '../../until.js'
import { holdClock } from '../clock.js'
import { asAdmin, serviceRig } from '../rig.js'

t.test('anonymous requests are counted in the audit log, and calls of the operator have their rows', async t => {
  const { service, look } = await serviceRig(t, ['identity'])
  const environment = readEnvironment({ RATE_LIMIT_PER_ADDRESS: '20', TRUSTED_PROXIES: '127.0.0.1' })
  const app = await service('identity', { source: false }, { environment, passwordCost: { ln: 4, r: 8, p: 1 } })
  const post = (url: string, address: string, headers: Record<string, string>, payload: object = {}) =>
    app.inject({ method: 'POST', url, headers: { ...headers, 'x-forwarded-for': address }, payload })
  const statuses = new Set<number>()
  holdClock(t)
  for (let n = 0; n < 300; n++) statuses.add((await post('/api/tenants', '192.0.2.1', {})).statusCode)
  for (let n = 0; n < 20; n++) {
    const login = { email: `u${n}@example.com`, password: 'wrong' }
    await post('/api/login', '192.0.2.2', { 'hrms-client-id': `unknown-${n}` }, login)
  }
  for (let n = 0; n < 25; n++) {
    const bad = { authorization: 'Bearer another-unknown-token' }
    await post('/api/tenants', '192.0.2.3', bad)
  }
  t.same([...statuses].sort(), [401, 429])
  t.equal((await post('/api/tenants', '192.0.2.4', asAdmin, { id: 'acme', name: 'Acme' })).statusCode, 202)
  t.equal((await post('/api/tenants/unknown/suspend', '192.0.2.4', asAdmin)).statusCode, 404)
  t.match(app.audit.status(), { accepting: true, missed: 0 })
  await app.close()
  const central = look('identity', 'identity_central')
  await until('all is written', async () => (await central`select 1 from audit_log where result = 'ended'`)[0])
  const rows = await central`
    select kind, result, actor, detail->>'address' as address, (detail->>'count')::int as count
    from audit_log where kind in ('admin', 'refused') order by address, kind, result, count nulls first`
  t.same(
    rows.map(({ kind, result, actor, address, count }) => [address, kind, result, actor, count]),
    [
      ['192.0.2.1', 'admin', '401', null, null],
      ['192.0.2.1', 'admin', '401', null, 19],
      ['192.0.2.1', 'admin', '429', null, null],
      ['192.0.2.1', 'admin', '429', null, 279],
      ['192.0.2.2', 'refused', 'TENANT_NOT_FOUND', null, null],
      ['192.0.2.2', 'refused', 'TENANT_NOT_FOUND', null, 19],
      ['192.0.2.3', 'admin', '401', null, null],
      ['192.0.2.3', 'admin', '401', null, 19],
      ['192.0.2.3', 'admin', '429', null, null],
      ['192.0.2.3', 'admin', '429', null, 4],
      ['192.0.2.4', 'admin', '404', 'admin', null],
      ['192.0.2.4', 'admin', 'ok', 'admin', null],
    ],
  )
})
