import t from 'tap'
import { as, nowhere, pages, serviceRig } from '../rig.js'

const leave = { employeeRef: 'e-1', type: 'annual', startsOn: '2024-05-01', endsOn: '2024-05-10' }

t.test('leave requests', async t => {
  const { service } = await serviceRig(t, ['core'])
  const app = await service('core')
  let made = 0
  const tenant = async () => as(app, (await app.tenants.create({ id: `tenant-${++made}`, name: 'Acme' })).id)

  await t.test('one is asked for as pending, read and deleted', async t => {
    const call = await tenant()
    const created = await call('POST', '/api/leave-requests', { ...leave, reason: 'Summer' })
    t.equal(created.statusCode, 201, created.body)
    t.match(created.json(), { ...leave, reason: 'Summer', status: 'pending', departmentId: null, decidedAt: null })
    const url = created.headers.location as string
    t.same((await call('GET', url)).json(), created.json())
    t.equal((await call('DELETE', url)).statusCode, 204)
    t.match((await call('GET', url)).json(), { statusCode: 404, code: 'LEAVE_REQUEST_NOT_FOUND' })
  })

  await t.test('a day is a day, whatever the clock of the server', async t => {
    const call = await tenant()
    const day = { ...leave, startsOn: '2024-02-29', endsOn: '2024-02-29' }
    t.match((await call('POST', '/api/leave-requests', day)).json(), { startsOn: '2024-02-29', endsOn: '2024-02-29' })
  })

  await t.test('an end before the start is refused, in a change too', async t => {
    const call = await tenant()
    const backwards = await call('POST', '/api/leave-requests', { ...leave, endsOn: '2024-04-30' })
    t.match(backwards.json(), { statusCode: 422, code: 'LEAVE_DATES_INVALID' })
    const { id } = (await call('POST', '/api/leave-requests', leave)).json()
    const changed = await call('PATCH', `/api/leave-requests/${id}`, { startsOn: '2024-06-01' })
    t.match(changed.json(), { statusCode: 422, code: 'LEAVE_DATES_INVALID' })
    t.match((await call('GET', `/api/leave-requests/${id}`)).json(), leave)
  })

  await t.test('a department is one of the tenant’s', async t => {
    const call = await tenant()
    const unknown = await call('POST', '/api/leave-requests', { ...leave, departmentId: nowhere })
    t.match(unknown.json(), { statusCode: 422, code: 'LEAVE_DEPARTMENT_NOT_FOUND' })
  })

  await t.test('a decision is stamped, made once, and can be undone by cancelling only', async t => {
    const call = await tenant()
    const { id } = (await call('POST', '/api/leave-requests', leave)).json()
    const change = (body: object) => call('PATCH', `/api/leave-requests/${id}`, body)
    t.match((await change({ reason: 'Moved', endsOn: '2024-05-11' })).json(), { endsOn: '2024-05-11', decidedAt: null })
    const approved = (await change({ status: 'approved', decidedBy: 'Grace' })).json()
    t.match(approved, { status: 'approved', decidedBy: 'Grace', decidedAt: /Z$/ })
    for (const body of [{ status: 'rejected' }, { status: 'pending' }, { startsOn: '2024-05-02' }, { reason: null }]) {
      t.match((await change(body)).json(), { statusCode: 409, code: 'LEAVE_REQUEST_DECIDED' })
    }
    t.match((await change({ status: 'cancelled' })).json(), { status: 'cancelled', decidedAt: approved.decidedAt })
    t.match((await change({ status: 'approved' })).json(), { statusCode: 409, code: 'LEAVE_REQUEST_DECIDED' })
  })

  await t.test('of two simultaneous decisions one is refused as already decided', async t => {
    const call = await tenant()
    const { id } = (await call('POST', '/api/leave-requests', leave)).json()
    const answers = await Promise.all([
      call('PATCH', `/api/leave-requests/${id}`, { status: 'approved' }),
      call('PATCH', `/api/leave-requests/${id}`, { status: 'rejected' }),
    ])
    t.same(answers.map(({ statusCode }) => statusCode).sort(), [200, 409])
  })

  await t.test('pages hold each once, in the order of the first day', async t => {
    const call = await tenant()
    for (const startsOn of ['2024-05-03', '2024-05-01', '2024-05-03', '2024-05-02']) {
      await call('POST', '/api/leave-requests', { ...leave, startsOn })
    }
    const found = await pages(call, '/api/leave-requests', 3)
    t.same(
      found.map(items => items.map(({ startsOn }) => startsOn)),
      [['2024-05-01', '2024-05-02', '2024-05-03'], ['2024-05-03']],
    )
    t.equal(new Set(found.flat().map(({ id }) => id)).size, 4)
  })

  await t.test('a list can be narrowed', async t => {
    const call = await tenant()
    const { id: departmentId } = (await call('POST', '/api/departments', { name: 'Lab', code: 'LAB' })).json()
    await call('POST', '/api/leave-requests', leave)
    await call('POST', '/api/leave-requests', { ...leave, employeeRef: 'e-2', departmentId })
    const count = async (query: string) => (await call('GET', `/api/leave-requests?${query}`)).json().items.length
    t.equal(await count('employeeRef=e-2'), 1)
    t.equal(await count(`departmentId=${departmentId}`), 1)
    t.equal(await count('status=pending'), 2)
    t.equal(await count('status=approved'), 0)
  })

  await t.test('a body that breaks the schema is 400', async t => {
    const call = await tenant()
    for (const change of [{ type: 'holiday' }, { startsOn: 'tomorrow' }, { status: 'approved' }, { employeeRef: '' }]) {
      const response = await call('POST', '/api/leave-requests', { ...leave, ...change })
      t.match(response.json(), { statusCode: 400, code: 'REQUEST_INVALID' }, JSON.stringify(change))
    }
  })
})
