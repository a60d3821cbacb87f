import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/index.js'
import { readersOfDetail } from '../../services/access.js'
import { until } from '../until.js'
import { serviceRig } from './rig.js'

const tokens = {
  ADMIN_TOKEN: 'first-of-the-operator,second-of-the-operator',
  SERVICE_TOKEN: 'first-of-the-services,second-of-the-services',
  METRICS_TOKEN: 'the-one-of-the-metrics',
}
const good = [tokens.ADMIN_TOKEN, tokens.SERVICE_TOKEN, tokens.METRICS_TOKEN].flatMap(list => list.split(','))
const bad = [tokens.ADMIN_TOKEN, 'first-of-the-operato', 'FIRST-OF-THE-OPERATOR', ',', 'undefined', 'null', '']

const ask = async (app: FastifyInstance, token: string | undefined, tenant?: string) => {
  const headers = {
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(tenant && { 'hrms-client-id': tenant }),
  }
  return (await app.inject({ url: '/api/health', headers })).json()
}
const detailed = async (app: FastifyInstance, token: string | undefined) => 'connections' in (await ask(app, token))

t.test('the same tokens read the detail of health in every environment', async t => {
  const request = (authorization?: string) => ({ headers: { authorization }, ip: '127.0.0.1' }) as FastifyRequest
  for (const NODE_ENV of ['production', 'development', 'test', undefined]) {
    const reads = readersOfDetail(readEnvironment({ ...tokens, NODE_ENV }), undefined)
    for (const token of good) t.ok(reads(request(`Bearer ${token}`)), `${token} in ${NODE_ENV}`)
    for (const token of bad) t.notOk(reads(request(`Bearer ${token}`)), `${token} in ${NODE_ENV}`)
    t.notOk(reads(request()))
    t.notOk(reads(request(`Basic ${good[0]}`)))
    const none = readersOfDetail(readEnvironment({ NODE_ENV }), undefined)
    for (const token of [...good, ...bad]) t.notOk(none(request(`Bearer ${token}`)), 'without tokens none may')
  }
})

t.test('the detail of a service’s health', async t => {
  const made = await serviceRig(t, ['identity', 'employee'])
  const file = join(t.testdir(), 'admin-token')
  await writeFile(file, 'first-of-the-operator')
  const environment = readEnvironment(tokens)
  const employee = await made.service('employee', {}, { environment })
  const options = { environment, adminTokenFile: file, adminTokenLook: 20, adminToken: 'first-of-the-operator' }
  const identity = await made.service('identity', {}, options)

  await t.test('is for the bearers of its tokens', async t => {
    for (const token of good) t.ok(await detailed(employee, token), `employee: ${token}`)
    for (const token of good.filter(token => !token.includes('second-of-the-op')))
      t.ok(await detailed(identity, token), `identity: ${token}`)
    for (const app of [employee, identity]) {
      for (const token of [...bad, undefined]) {
        const body = await ask(app, token)
        t.same(Object.keys(body).sort(), ['checks', 'status', 'timestamp'])
        for (const part of Object.values(body.checks)) t.same(Object.keys(part as object), ['status'])
        t.notMatch(JSON.stringify(body), new RegExp(`${made.database('employee').port}|localhost|127\\.0\\.0\\.1`))
      }
    }
  })

  await t.test('names no tenant except the one that a client without a token named', async t => {
    await employee.tenants.create({ id: 'acme', name: 'Acme' })
    await until('ready', async () => (await employee.tenants.find('acme'))?.provisioned === 'ready')
    t.same((await ask(employee, undefined, 'acme')).tenant, { status: 'ready' })
    t.same((await ask(employee, good[0], 'acme')).tenant, { id: 'acme', status: 'ready' })
    t.match(await ask(employee, good[0], 'unknown'), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
  })

  await t.test('follows the operator’s token when it is replaced', async t => {
    await writeFile(file, 'third-of-the-operator')
    await until('the new one reads', () => detailed(identity, 'third-of-the-operator'))
    t.notOk(await detailed(identity, 'first-of-the-operator'), 'and the old one no longer')
  })
})
