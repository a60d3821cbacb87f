import t from 'tap'
import { as, nowhere, pages, serviceRig } from '../rig.js'

t.test('departments', async t => {
  const { service } = await serviceRig(t, ['core'])
  const app = await service('core')
  let made = 0
  const tenant = async () => as(app, (await app.tenants.create({ id: `tenant-${++made}`, name: 'Acme' })).id)

  await t.test('one is created, read, changed and deleted', async t => {
    const call = await tenant()
    const created = await call('POST', '/api/departments', { name: 'Research', code: 'RES' })
    t.equal(created.statusCode, 201, created.body)
    const url = created.headers.location as string
    t.match(created.json(), { name: 'Research', code: 'RES', description: null, parentId: null })
    t.same((await call('GET', url)).json(), created.json())
    const changed = await call('PATCH', url, { description: 'Finds out' })
    t.match(changed.json(), { name: 'Research', code: 'RES', description: 'Finds out' })
    t.equal((await call('DELETE', url)).statusCode, 204)
    t.match((await call('GET', url)).json(), { statusCode: 404, code: 'DEPARTMENT_NOT_FOUND' })
  })

  await t.test('a tenant sees nothing of another', async t => {
    const [mine, other] = [await tenant(), await tenant()]
    const { id } = (await mine('POST', '/api/departments', { name: 'Research', code: 'RES' })).json()
    t.same((await other('GET', '/api/departments')).json(), { items: [], next: null })
    t.equal((await other('PATCH', `/api/departments/${id}`, { name: 'x' })).statusCode, 404)
  })

  await t.test('a taken name or code, in any case, is 409', async t => {
    const call = await tenant()
    await call('POST', '/api/departments', { name: 'Research', code: 'RES' })
    for (const body of [
      { name: 'RESEARCH', code: 'R2' },
      { name: 'Other', code: 'res' },
    ]) {
      t.match((await call('POST', '/api/departments', body)).json(), { statusCode: 409, code: 'DEPARTMENT_EXISTS' })
    }
  })

  await t.test('they are a tree: a missing parent and a cycle are refused', async t => {
    const call = await tenant()
    const make = async (name: string, parentId?: string) =>
      (await call('POST', '/api/departments', { name, code: name, ...(parentId && { parentId }) })).json().id as string
    const top = await make('top')
    const middle = await make('middle', top)
    const leaf = await make('leaf', middle)
    const move = async (id: string, parentId: string | null) => call('PATCH', `/api/departments/${id}`, { parentId })
    t.match((await move(leaf, nowhere)).json(), { statusCode: 422, code: 'PARENT_NOT_FOUND' })
    t.match((await move(top, top)).json(), { statusCode: 422, code: 'PARENT_INVALID' })
    t.match((await move(top, leaf)).json(), { statusCode: 422, code: 'PARENT_INVALID' })
    t.match((await move(leaf, top)).json(), { parentId: top })
    t.match((await move(leaf, null)).json(), { parentId: null })
  })

  await t.test('two changes at once cannot close a circle together', async t => {
    const call = await tenant()
    const ids: string[] = []
    for (const code of ['a', 'b']) ids.push((await call('POST', '/api/departments', { name: code, code })).json().id)
    const [a, b] = ids as [string, string]
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all([
        call('PATCH', `/api/departments/${a}`, { parentId: b }),
        call('PATCH', `/api/departments/${b}`, { parentId: a }),
      ])
      t.same(answers.map(({ statusCode }) => statusCode).sort(), [200, 422])
      for (const id of [a, b]) await call('PATCH', `/api/departments/${id}`, { parentId: null })
    }
  })

  await t.test('one with others or leave requests in it cannot be deleted', async t => {
    const call = await tenant()
    const { id } = (await call('POST', '/api/departments', { name: 'Research', code: 'RES' })).json()
    const child = (await call('POST', '/api/departments', { name: 'Lab', code: 'LAB', parentId: id })).json()
    t.match((await call('DELETE', `/api/departments/${id}`)).json(), { statusCode: 409, code: 'DEPARTMENT_IN_USE' })
    t.equal((await call('DELETE', `/api/departments/${child.id}`)).statusCode, 204)
    const leave = { employeeRef: 'e-1', departmentId: id, type: 'annual', startsOn: '2024-05-01', endsOn: '2024-05-02' }
    const request = await call('POST', '/api/leave-requests', leave)
    t.match((await call('DELETE', `/api/departments/${id}`)).json(), { statusCode: 409, code: 'DEPARTMENT_IN_USE' })
    await call('DELETE', request.headers.location as string)
    t.equal((await call('DELETE', `/api/departments/${id}`)).statusCode, 204)
  })

  await t.test('pages hold each once, in the order of the name', async t => {
    const call = await tenant()
    for (const name of ['delta', 'Alpha', 'charlie', 'Bravo'])
      await call('POST', '/api/departments', { name, code: name })
    const found = await pages(call, '/api/departments', 3)
    t.same(
      found.map(items => items.map(({ name }) => name)),
      [['Alpha', 'Bravo', 'charlie'], ['delta']],
    )
    t.same(Object.keys(found[0]?.[0] ?? {}).sort(), [
      'code',
      'createdAt',
      'description',
      'id',
      'name',
      'parentId',
      'updatedAt',
    ])
  })
})
