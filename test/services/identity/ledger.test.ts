import t from 'tap'
import type { StatusEvent, TenantId } from '../../../events/index.js'
import { applyStatus, createLedger } from '../../../services/identity/ledger.js'
import { until } from '../../until.js'
import { serviceRig } from '../rig.js'

const minute = (n: number) => new Date(Date.UTC(2024, 4, 1, 12, n)).toISOString()

t.test('the ledger', async t => {
  const { service } = await serviceRig(t, ['identity'])
  const app = await service('identity')
  const { central } = app
  const ledger = createLedger(central, ['identity', 'employee'])
  const output = (id: string, over: Partial<StatusEvent>): StatusEvent => {
    const { version = 1, at = minute(0) } = over
    const revision = version * 100 + new Date(at).getUTCMinutes()
    return { id: id as TenantId, service: 'employee', version, revision, status: 'ready', at, ...over }
  }
  const read = async (id: string) => (await ledger.read([id])).get(id)
  const status = async (id: string) => (await read(id))?.employee?.status

  await t.test('a required service without a status is pending', async t => {
    t.match(await read('silent'), {
      identity: { status: 'pending', attempts: 0, steps: [], readyAt: null },
      employee: { status: 'pending' },
    })
  })

  await t.test('a status is kept as it was published', async t => {
    const steps = [{ step: 'claim', at: minute(0) }]
    const event = output('failing', {
      status: 'failed',
      step: 'migrate',
      attempts: 2,
      error: 'disk full',
      nextTryAt: minute(3),
      steps,
      at: minute(2),
    })
    await applyStatus(event, central)
    t.match((await read('failing'))?.employee, {
      status: 'failed',
      step: 'migrate',
      steps,
      attempts: 2,
      lastError: 'disk full',
      nextTryAt: new Date(minute(3)),
      updatedAt: new Date(minute(2)),
      readyAt: null,
    })
  })

  await t.test('ready after failed clears the error and has its own time', async t => {
    await applyStatus(output('healed', { status: 'failed', error: 'disk full', nextTryAt: minute(1) }), central)
    await applyStatus(output('healed', { at: minute(1), attempts: 2 }), central)
    t.match((await read('healed'))?.employee, {
      status: 'ready',
      lastError: null,
      nextTryAt: null,
      readyAt: new Date(minute(1)),
    })
  })

  await t.test('the newest status stays in any order and after repeats', async t => {
    const events = [
      output('any', { status: 'failed', at: minute(1) }),
      output('any', { status: 'ready', at: minute(2) }),
      output('any', { status: 'failed', version: 2, at: minute(0) }),
      output('any', { status: 'ready', version: 2, at: minute(1) }),
    ]
    for (const order of permutations(events)) {
      await central`delete from tenant_services where tenant_id = 'any'`
      for (const event of [...order, ...order]) await applyStatus(event, central)
      const [row] = await central`select status, version::int, updated_at from tenant_services where tenant_id = 'any'`
      t.match(row, { status: 'ready', version: 2, updated_at: new Date(minute(1)) })
    }
  })

  await t.test('a late failure of an older attempt does not undo ready', async t => {
    await applyStatus(output('late', { status: 'ready', at: minute(5) }), central)
    await applyStatus(output('late', { status: 'failed', at: minute(4) }), central)
    t.equal(await status('late'), 'ready')
  })

  await t.test('a clock that was set back changes nothing', async t => {
    await applyStatus(output('skewed', { status: 'failed', revision: 1, at: minute(50) }), central)
    await applyStatus(output('skewed', { status: 'ready', revision: 2, at: minute(0) }), central)
    t.equal(await status('skewed'), 'ready')
  })

  await t.test('a new status is announced, a repeated one is not', async t => {
    const seen: string[] = []
    t.teardown(app.notifications.subscribe('fdt_ledger', id => seen.push(id)))
    await applyStatus(output('announced', {}), central)
    await applyStatus(output('announced', {}), central)
    await applyStatus(output('last', {}), central)
    await until('the last is announced', () => seen.includes('last'))
    // Announcements of the steps before may still arrive.
    t.same(
      seen.filter(id => id === 'announced' || id === 'last'),
      ['announced', 'last'],
    )
  })

  await t.test('ready is every required service, and no other counts', async t => {
    await applyStatus(output('half', {}), central)
    await applyStatus(output('half', { service: 'payroll', status: 'failed' }), central)
    t.same(await ledger.ready(['half', 'unknown']), [])
    t.equal(ledger.summarize((await read('half')) ?? {}), 'pending')
    await applyStatus(output('half', { service: 'identity' }), central)
    t.same(await ledger.ready(['half', 'unknown']), ['half'])
    t.equal(ledger.summarize((await read('half')) ?? {}), 'ready')
    t.match(await read('half'), { payroll: { status: 'failed' } })
    t.same(await ledger.ready([]), [])
    t.equal((await ledger.read([])).size, 0)
  })

  await t.test('a foreign database is reported as foreign, and is a failure of the whole', async t => {
    await applyStatus(output('foreign', { status: 'failed', foreign: true, error: 'not ours' }), central)
    t.match((await read('foreign'))?.employee, { status: 'foreign', lastError: 'not ours' })
    t.equal(ledger.summarize((await read('foreign')) ?? {}), 'failed')
    await applyStatus(output('foreign', { status: 'ready', revision: 900 }), central)
    t.match((await read('foreign'))?.employee, { status: 'ready', lastError: null })
  })

  await t.test('removed is removed by every required service', async t => {
    await applyStatus(output('gone', { status: 'removed' }), central)
    t.equal(ledger.summarize((await read('gone')) ?? {}), 'pending')
    await applyStatus(output('gone', { service: 'identity', status: 'removed' }), central)
    t.equal(ledger.summarize((await read('gone')) ?? {}), 'removed')
  })

  await t.test('one that failed makes the whole failed', async t => {
    await applyStatus(output('broken', { status: 'failed' }), central)
    t.equal(ledger.summarize((await read('broken')) ?? {}), 'failed')
  })
})

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map(rest => [item, ...rest]),
  )
}
