import t from 'tap'
import { rig } from '../../../rig.js'

t.test('a request', async t => {
  const { app: build } = await rig(t, ['employee'])
  const app = await build('employee', {}, app => {
    app.get('/notes', { config: { tenant: 'required' } }, request => request.sql`select body from notes order by id`)
    app.post('/notes/:body', async request => {
      const { body } = request.params as { body: string }
      return request.sql.begin(sql => sql`insert into notes (body, tags) values (${body}, ${['a', 'b']}) returning *`)
    })
  })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await app.tenants.create({ id: 'globex', name: 'Globex' })

  await t.test('writes into the database of its tenant', async t => {
    const written = await app.inject({ method: 'POST', url: '/notes/hello', headers: { 'hrms-client-id': 'acme' } })
    t.equal(written.statusCode, 200, written.body)
    t.match(written.json(), [{ body: 'hello', mood: 'calm', tags: ['a', 'b'] }])
  })
  await t.test('sees nothing of another tenant', async t => {
    const mine = await app.inject({ url: '/notes', headers: { 'hrms-client-id': 'acme' } })
    const other = await app.inject({ url: '/notes', headers: { 'hrms-client-id': 'globex' } })
    t.same([mine.json(), other.json()], [[{ body: 'hello' }], []])
  })
})
