import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { as, nowhere, pages, serviceRig } from '../rig.js'

const ada = {
  employeeNumber: 'E-1',
  firstName: 'Ada',
  lastName: 'Lovelace',
  email: 'ada@example.com',
  hiredOn: '2024-02-29',
}
const numbered = (n: number) => ({ ...ada, employeeNumber: `E-${n}`, email: `e${n}@example.com` })

t.test('employees', async t => {
  const { service } = await serviceRig(t, ['employee'])
  const app = await service('employee')
  let made = 0
  const tenant = async () => {
    const { id } = await app.tenants.create({ id: `tenant-${++made}`, name: 'Acme' })
    return as(app, id)
  }

  await t.test('one is created with defaults for omitted fields, and read back', async t => {
    const call = await tenant()
    const created = await call('POST', '/api/employees', ada)
    t.equal(created.statusCode, 201, created.body)
    const employee = created.json()
    t.match(employee, {
      ...ada,
      id: /^[0-9a-f-]{36}$/,
      jobTitle: null,
      department: null,
      employmentType: 'full_time',
      status: 'active',
      managerId: null,
      createdAt: /^\d{4}-.*Z$/,
      updatedAt: /^\d{4}-.*Z$/,
    })
    t.equal(created.headers.location, `/api/employees/${employee.id}`)
    const read = await call('GET', created.headers.location as string)
    t.equal(read.statusCode, 200)
    t.same(read.json(), employee)
  })

  await t.test('a tenant sees nothing of another', async t => {
    const [mine, other] = [await tenant(), await tenant()]
    const { id } = (await mine('POST', '/api/employees', ada)).json()
    t.same((await other('GET', '/api/employees')).json(), { items: [], next: null })
    t.equal((await other('GET', `/api/employees/${id}`)).statusCode, 404)
    t.equal((await other('DELETE', `/api/employees/${id}`)).statusCode, 404)
    t.equal((await other('POST', '/api/employees', ada)).statusCode, 201, 'the same number is free there')
  })

  await t.test('a change affects the named fields only', async t => {
    const call = await tenant()
    const before = (
      await call('POST', '/api/employees', { ...ada, jobTitle: 'Analyst', department: 'Research' })
    ).json()
    // Both times have a precision of milliseconds.
    await sleep(5)
    const changed = await call('PATCH', `/api/employees/${before.id}`, { jobTitle: null, status: 'on_leave' })
    t.equal(changed.statusCode, 200, changed.body)
    const { updatedAt, ...after } = changed.json()
    const { updatedAt: updatedBefore, ...rest } = before
    t.same(after, { ...rest, jobTitle: null, status: 'on_leave' })
    t.ok(updatedAt > updatedBefore)
  })

  await t.test('one that is deleted is gone', async t => {
    const call = await tenant()
    const { id } = (await call('POST', '/api/employees', ada)).json()
    const deleted = await call('DELETE', `/api/employees/${id}`)
    t.equal(deleted.statusCode, 204)
    t.equal(deleted.body, '')
    t.equal((await call('GET', `/api/employees/${id}`)).json().code, 'EMPLOYEE_NOT_FOUND')
    t.equal((await call('DELETE', `/api/employees/${id}`)).statusCode, 404)
  })

  await t.test('a taken number or e-mail address, in any case, is 409', async t => {
    const call = await tenant()
    await call('POST', '/api/employees', ada)
    const number = await call('POST', '/api/employees', { ...ada, email: 'other@example.com' })
    t.match(number.json(), { statusCode: 409, code: 'EMPLOYEE_EXISTS', error: 'Conflict' })
    const mail = await call('POST', '/api/employees', { ...ada, employeeNumber: 'E-2', email: 'ADA@example.com' })
    t.match(mail.json(), { statusCode: 409, code: 'EMPLOYEE_EXISTS' })
    const { id } = (await call('POST', '/api/employees', numbered(3))).json()
    const taken = await call('PATCH', `/api/employees/${id}`, { employeeNumber: 'E-1' })
    t.match(taken.json(), { statusCode: 409, code: 'EMPLOYEE_EXISTS' })
  })

  await t.test('a manager is an employee, not oneself, and may be deleted', async t => {
    const call = await tenant()
    const { id: managerId } = (await call('POST', '/api/employees', ada)).json()
    const { id } = (await call('POST', '/api/employees', { ...numbered(2), managerId })).json()
    t.equal((await call('GET', `/api/employees/${id}`)).json().managerId, managerId)
    const unknown = await call('PATCH', `/api/employees/${id}`, { managerId: nowhere })
    t.match(unknown.json(), { statusCode: 422, code: 'MANAGER_NOT_FOUND' })
    const oneself = await call('PATCH', `/api/employees/${id}`, { managerId: id })
    t.match(oneself.json(), { statusCode: 422, code: 'MANAGER_INVALID' })
    t.equal((await call('DELETE', `/api/employees/${managerId}`)).statusCode, 204)
    t.equal((await call('GET', `/api/employees/${id}`)).json().managerId, null)
  })

  await t.test('an unknown id is 404 everywhere', async t => {
    const call = await tenant()
    for (const [method, body] of [['GET'], ['PATCH', { firstName: 'A' }], ['DELETE']] as const) {
      const response = await call(method, `/api/employees/${nowhere}`, body)
      t.match(response.json(), { statusCode: 404, code: 'EMPLOYEE_NOT_FOUND', error: 'Not Found' })
    }
  })

  await t.test('pages hold each employee once, in the order of the number', async t => {
    const call = await tenant()
    for (let n = 1; n <= 5; n++) await call('POST', '/api/employees', numbered(n))
    const found = await pages(call, '/api/employees', 2)
    t.same(
      found.map(items => items.map(({ employeeNumber }) => employeeNumber)),
      [['E-1', 'E-2'], ['E-3', 'E-4'], ['E-5']],
    )
  })

  await t.test('a list can be narrowed by status and by a literal text', async t => {
    const call = await tenant()
    await call('POST', '/api/employees', { ...numbered(1), status: 'terminated' })
    await call('POST', '/api/employees', { ...numbered(2), lastName: '100% Hopper' })
    const find = async (query: string) =>
      (await call('GET', `/api/employees?${query}`))
        .json()
        .items.map((e: { employeeNumber: string }) => e.employeeNumber)
    t.same(await find('status=terminated'), ['E-1'])
    t.same(await find('q=hopper'), ['E-2'])
    t.same(await find('q=E2@EXAMPLE'), ['E-2'])
    t.same(await find('q=ada%20lovelace'), ['E-1'])
    t.same(await find('q=%25'), ['E-2'], 'a percent sign is no wildcard')
    t.same(await find('q=_'), [])
    t.same(await find('status=terminated&q=hopper'), [])
  })

  await t.test('a body that breaks the schema is 400 and changes nothing', async t => {
    const call = await tenant()
    const bad: object[] = [
      {},
      { ...ada, email: 'unknown' },
      { ...ada, hiredOn: '2024-02-30' },
      { ...ada, hiredOn: '2024-02-29T00:00:00Z' },
      { ...ada, firstName: ' ' },
      { ...ada, firstName: 'a\0b' },
      { ...ada, firstName: 'a'.repeat(101) },
      { ...ada, firstName: 7 },
      { ...ada, status: 'gone' },
      { ...ada, managerId: 'urn:uuid:00000000-0000-4000-8000-000000000000' },
      { ...ada, id: nowhere },
      { ...ada, tenantId: 'other' },
      [],
    ]
    for (const body of bad) {
      const response = await call('POST', '/api/employees', body)
      t.match(response.json(), { statusCode: 400, code: 'REQUEST_INVALID' }, JSON.stringify(body).slice(0, 100))
    }
    t.same((await call('GET', '/api/employees')).json().items, [])
  })

  await t.test('an invalid query is 400', async t => {
    const call = await tenant()
    for (const query of ['limit=0', 'limit=201', 'limit=x', 'limit=1&limit=2', 'stauts=active', 'status=gone', 'q=']) {
      t.equal((await call('GET', `/api/employees?${query}`)).statusCode, 400, query)
    }
    t.equal((await call('GET', '/api/employees?after=bm9uc2Vuc2U')).json().code, 'CURSOR_INVALID')
    t.equal((await call('GET', '/api/employees/not-a-uuid')).json().code, 'REQUEST_INVALID')
    const { id } = (await call('POST', '/api/employees', ada)).json()
    t.equal((await call('PATCH', `/api/employees/${id}`, {})).json().code, 'REQUEST_INVALID')
  })

  await t.test('a request without a tenant, or with a wrong one, gets its own code', async t => {
    const codes: [Record<string, string>, number, string][] = [
      [{}, 400, 'TENANT_REQUIRED'],
      [{ 'hrms-client-id': 'ACME' }, 400, 'TENANT_ID_INVALID'],
      [{ 'hrms-client-id': 'unknown' }, 404, 'TENANT_NOT_FOUND'],
    ]
    for (const [headers, statusCode, code] of codes) {
      const response = await app.inject({ url: '/api/employees', headers })
      t.match(response.json(), { statusCode, code, message: /\.$/ })
    }
  })

  await t.test('the body of a plain `curl -d` is read as the JSON it is', async t => {
    const { id } = await app.tenants.create({ id: `tenant-${++made}`, name: 'Acme' })
    const response = await app.inject({
      method: 'POST',
      url: '/api/employees',
      headers: { 'hrms-client-id': id, 'content-type': 'application/x-www-form-urlencoded' },
      payload: JSON.stringify(ada),
    })
    t.equal(response.statusCode, 201, response.body)
  })
})
