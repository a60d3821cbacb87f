// The rules for DB_INSTANCES, the placement of a new tenant, and the shares of the budget.
import t from 'tap'
import { readEnvironment } from '../../../../plugins/distributed-tenant/config/environment.js'
import { instancesOf, parseInstances } from '../../../../plugins/distributed-tenant/config/instances.js'
import { settle } from '../../../../plugins/distributed-tenant/config/settings.js'
import { leastFull } from '../../../../plugins/distributed-tenant/instances/choose-instance.js'
import { shareOf } from '../../../../postgres/pool/instance-quota.js'

t.test('DB_INSTANCES', async t => {
  t.same(parseInstances('b=db2.internal:5433,c=db3'), {
    b: { host: 'db2.internal', port: 5433 },
    c: { host: 'db3', port: 5432 },
  })
  t.same(parseInstances('b=[fd00::3]:5433'), { b: { host: 'fd00::3', port: 5433 } })
  const home = { host: 'db1', port: 5432 }
  t.same(
    instancesOf(home, parseInstances('b=db2')).map(({ name }) => name),
    ['main', 'b'],
  )
  for (const [text, why] of [
    ['main=db2', /not named there/],
    ['B=db2', /the name B is not usable/],
    ['b=db2:70000', /no port/],
    ['b=db1', /same server/],
    ['b=db2,c=db2:5432', /same server/],
  ] as const) {
    t.throws(() => instancesOf(home, parseInstances(text)), { code: 'CONFIGURATION_INVALID', message: why }, text)
  }
  t.throws(() => parseInstances('b=db2,b=db3'), { message: /twice/ })
  const wrong = { SERVICE_NAME: 'employee', DB_INSTANCES: 'db2.internal' }
  t.throws(() => readEnvironment(wrong), { code: 'CONFIGURATION_INVALID', message: /^DB_INSTANCES/ })
  const settled = settle({}, readEnvironment({ SERVICE_NAME: 'employee', DB_INSTANCES: 'b=db2', DB_HOST: 'db1' }))
  t.match(settled.instances, [
    { name: 'main', host: 'db1' },
    { name: 'b', host: 'db2', port: 5432 },
  ])
  t.throws(
    () =>
      settle(
        { tenantDatabase: { host: 'pooler' } },
        readEnvironment({ SERVICE_NAME: 'employee', DB_INSTANCES: 'b=db2' }),
      ),
    { code: 'CONFIGURATION_INVALID', message: /TENANT_DB_HOST/ },
  )
})

t.test('a new tenant goes to the least full instance, and to the first of equally full ones', async t => {
  t.equal(leastFull(['main', 'b', 'c'], new Map()), 'main')
  t.equal(
    leastFull(
      ['main', 'b', 'c'],
      new Map([
        ['main', 2],
        ['b', 1],
      ]),
    ),
    'c',
  )
  t.equal(
    leastFull(
      ['main', 'b'],
      new Map([
        ['main', 2],
        ['b', 2],
      ]),
    ),
    'main',
  )
  t.equal(leastFull(['b'], new Map([['b', 9]])), 'b')
  t.equal(leastFull([], new Map([['main', 9]])), 'main')
})

t.test('an instance may use the whole budget except a tenth for every other one', async t => {
  t.same([shareOf(50, 1), shareOf(50, 2), shareOf(50, 3), shareOf(5, 2), shareOf(2, 3)], [50, 45, 40, 4, 1])
})
