import { channel } from 'node:diagnostics_channel'
import { context, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { channelName } from '../../../plugins/distributed-tenant/index.js'
import { barePublish } from '../../rig.js'
import { admin, as, serviceRig } from '../../services/rig.js'
import { until } from '../../until.js'

const services = ['identity', 'employee', 'core'] as const
const exporter = new InMemorySpanExporter()

const attribute = (span: ReadableSpan, name: string) => span.attributes[name]
const ofTrace = (traceId: string) => exporter.getFinishedSpans().filter(span => span.spanContext().traceId === traceId)
const traceId = (seed: string) => seed.repeat(32).slice(0, 32)
const caller = (id: string) => ({ traceparent: `00-${id}-00f067aa0ba902b7-01` })

t.test('traces', async t => {
  const made = await serviceRig(t, services)
  const { nats } = made.servers

  await t.test('without an SDK statements have no subscriber', async t => {
    const app = await made.service('core')
    t.equal(channel(channelName('query')).hasSubscribers, false)
    await app.close()
  })

  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  t.teardown(() => provider.shutdown())

  const apps = {} as Record<(typeof services)[number], FastifyInstance>
  for (const name of services) apps[name] = await made.service(name, { nats: nats.url, maxConnections: 2 })
  const { identity } = apps
  const { employee } = apps
  const create = (id: string, headers: Record<string, string> = {}) =>
    admin(identity, { prefer: 'wait=60', ...headers })('POST', '/api/tenants', { id, name: id })

  await t.test('a sign-up is one trace until it is ready in three services', async t => {
    const id = traceId('4bf92f35')
    t.equal((await create('acme', caller(id))).statusCode, 201)
    const spans = await until('the ledger has received all three', () => {
      const found = ofTrace(id)
      return found.filter(({ name }) => name.startsWith('consume tenant.ready.')).length === 3 ? found : null
    })
    const named = (name: string) => spans.filter(span => span.name === name)
    t.equal(named('POST /api/tenants').length, 1)
    const created = named('consume tenant.created')
    t.same(created.map(span => attribute(span, 'tenant.service')).sort(), ['core', 'employee', 'identity'])
    t.same([...new Set(created.map(span => attribute(span, 'tenant.id')))], ['acme'])
    for (const step of ['claim', 'database', 'certificate', 'rights', 'schema', 'ready']) {
      const found = named(`tenant provision ${step}`)
      t.same(found.map(span => attribute(span, 'tenant.service')).sort(), ['core', 'employee', 'identity'], step)
    }
    t.equal(named('publish tenant.created').length, 1)
    for (const service of services) t.equal(named(`publish tenant.ready.${service}`).length, 1, service)
    t.ok(named('query insert').length > 0)

    const known = new Set(spans.map(span => span.spanContext().spanId)).add('00f067aa0ba902b7')
    t.same(
      spans.filter(span => !known.has(span.parentSpanContext?.spanId ?? 'none')).map(({ name }) => name),
      [],
      'every span hangs below another of the trace, or below the caller',
    )
  })

  await t.test('with a spare too: the row that the database writes carries the trace', async t => {
    const keeper = await made.service('employee', { nats: nats.url, spares: 1 })
    await employee.close()
    await until('a spare', async () => (await keeper.tenants.figures()).stored?.spares === 1)
    const id = traceId('0ddba11c')
    t.equal((await create('initech', caller(id))).statusCode, 201)
    const spans = await until('employee’s status is received', () => {
      const found = ofTrace(id)
      return found.some(({ name }) => name === 'consume tenant.ready.employee') ? found : null
    })
    const steps = spans.filter(
      span => span.name.startsWith('tenant provision') && attribute(span, 'tenant.service') === 'employee',
    )
    t.same(
      steps.map(({ name }) => name),
      ['tenant provision ready'],
      'it was a spare',
    )
    t.ok(spans.some(({ name }) => name === 'publish tenant.ready.employee'))
    await keeper.close()
    apps.employee = await made.service('employee', { nats: nats.url, maxConnections: 2 })
  })

  await t.test('a bare publish begins a trace of its own', async t => {
    await barePublish(nats, 'tenant.created', '{"id":"globex","name":"Globex"}')
    await until('globex is ready', async () => (await apps.employee.tenants.find('globex'))?.provisioned === 'ready')
    const [span] = await until('its span', () => {
      const found = exporter
        .getFinishedSpans()
        .filter(one => one.name === 'consume tenant.created' && attribute(one, 'tenant.id') === 'globex')
      return found.length >= 3 ? found : null
    })
    t.equal(span?.parentSpanContext, undefined)
  })

  await t.test('a request is its lookup, its wait with the connect, and its statements', async t => {
    const id = traceId('5ca1ab1e')
    const hire = { employeeNumber: 'E-1', firstName: 'Ada', lastName: 'L', email: 'a@b.example', hiredOn: '2026-01-05' }
    const answer = await apps.employee.inject({
      method: 'POST',
      url: '/api/employees',
      headers: { 'hrms-client-id': 'acme', ...caller(id) },
      payload: hire,
    })
    t.equal(answer.statusCode, 201, answer.body)
    await until('the request’s span', () => ofTrace(id).some(({ name }) => name === 'POST /api/employees'))
    const spans = ofTrace(id)
    const names = spans.map(({ name }) => name)
    t.ok(names.includes('tenant lookup'), names.join())
    t.ok(names.includes('wait for connection'), names.join())
    t.ok(names.includes('connect'), names.join())
    t.ok(names.includes('query insert'), names.join())
    const [request] = spans.filter(({ name }) => name === 'POST /api/employees')
    t.equal(attribute(request as ReadableSpan, 'tenant.id'), 'acme')
    t.equal(attribute(request as ReadableSpan, 'http.response.status_code'), 201)
    const text = JSON.stringify(spans.map(span => [span.name, span.attributes, span.status]))
    t.notMatch(text, /Ada|a@b\.example/, 'no value of a statement')
  })

  await t.test('concurrent tenants on one connection never appear in each other’s traces', async t => {
    const ids = Array.from({ length: 40 }, (_, n) => traceId(`${n + 1000}abcd`))
    await Promise.all(
      ids.map(async (id, n) => {
        const tenant = n % 2 === 0 ? 'acme' : 'globex'
        const headers = { 'hrms-client-id': tenant, ...caller(id) }
        t.equal((await apps.employee.inject({ url: '/api/employees', headers })).statusCode, 200)
      }),
    )
    await until('all are exported', () => ids.every(id => ofTrace(id).some(one => one.name === 'GET /api/employees')))
    let waits = 0
    ids.forEach((id, n) => {
      const tenants = new Set(ofTrace(id).flatMap(span => attribute(span, 'tenant.id') ?? []))
      t.same([...tenants], [n % 2 === 0 ? 'acme' : 'globex'])
      waits += ofTrace(id).filter(({ name }) => name === 'wait for connection').length
    })
    t.ok(waits > 0, 'some did wait')
  })

  await t.test('polls and health checks start no trace', async t => {
    exporter.reset()
    t.equal((await apps.employee.inject('/api/health')).statusCode, 200)
    t.equal((await apps.employee.inject('/metrics')).statusCode, 200)
    t.equal((await as(apps.employee, 'acme')('GET', '/api/employees')).statusCode, 200)
    await until('the request is exported', () => exporter.getFinishedSpans().length > 0)
    // An event that comes again belongs to no poll.
    const roots = exporter
      .getFinishedSpans()
      .filter(span => span.parentSpanContext === undefined && !span.name.startsWith('consume '))
    t.same([...new Set(roots.map(({ name }) => name))], ['GET /api/employees'])
  })
})
