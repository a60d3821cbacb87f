import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { readEnvironment } from '../../../plugins/distributed-tenant/config/environment.js'

import { as, serviceRig } from '../../services/rig.js'
import { until } from '../../until.js'
import { type Sample, scrape, value } from './scrape.js'

const token = 'a-token-for-scrapers'
const environment = readEnvironment({ METRICS_TOKEN: token, METRICS_TENANTS: 'acme,initech' })
const bearer = { authorization: `Bearer ${token}` }

t.test('metrics of real services', async t => {
  const made = await serviceRig(t, ['identity', 'employee'])
  const { nats, redis } = made.servers
  const remote = { nats: nats.url, redis: redis.url }
  const identity = await made.service('identity', remote, { requiredServices: ['identity', 'employee'] })
  const employee = await made.service('employee', { ...remote, maxConnections: 2 }, { environment })
  const ofEmployee = () => scrape(employee, bearer)

  for (const id of ['acme', 'globex', 'initech']) await identity.tenants.create({ id, name: id })
  for (const id of ['acme', 'globex', 'initech']) {
    await until(`${id} ready`, async () => (await employee.tenants.find(id))?.provisioned === 'ready')
  }
  const ask = async (id: string) => t.equal((await as(employee, id)('GET', '/api/employees')).statusCode, 200)

  await t.test('they are read with the token, or without one where none is set', async t => {
    t.equal((await employee.inject('/metrics')).json().code, 'METRICS_TOKEN_REQUIRED')
    t.equal(
      (await employee.inject({ url: '/metrics', headers: { authorization: `Bearer ${token}x` } })).statusCode,
      401,
    )
    t.equal((await employee.inject({ url: '/metrics', headers: bearer })).statusCode, 200)
    const open = await identity.inject('/metrics')
    t.equal(open.statusCode, 200)
    t.match(open.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  })

  await t.test('a request is a lookup, a lease and an answer', async t => {
    await ask('acme')
    const before = await ofEmployee()
    for (let n = 0; n < 10; n++) await ask('acme')
    t.equal((await as(employee, 'unregistered')('GET', '/api/employees')).statusCode, 404)
    const after = await ofEmployee()
    const grown = (name: string, labels = {}) => (value(after, name, labels) ?? 0) - (value(before, name, labels) ?? 0)
    t.ok(grown('process_cpu_seconds_total') > 0, 'and costs processor time')
    t.equal(grown('fdt_lookups_total', { source: 'memory', outcome: 'found' }), 10)
    t.equal(grown('fdt_lookups_total', { source: 'registry', outcome: 'not_found' }), 1)
    t.equal(grown('fdt_leases_total', { pool: 'tenant', outcome: 'leased' }), 10)
    t.equal(grown('fdt_wait_seconds_count', { pool: 'tenant' }), 10)
    t.equal(grown('fdt_http_requests_total', { status: '4xx' }), 1)
    t.equal(grown('fdt_tenant_leases_total', { tenant: 'acme', outcome: 'leased' }), 10)
  })

  await t.test('a connection that is closed for another tenant counts as evicted', async t => {
    for (const id of ['acme', 'globex', 'initech', 'acme', 'globex', 'initech']) await ask(id)
    const samples = await ofEmployee()
    t.ok((value(samples, 'fdt_connections_closed_total', { pool: 'tenant', reason: 'evicted' }) ?? 0) >= 1)
    t.ok((value(samples, 'fdt_connections_opened_total', { pool: 'tenant' }) ?? 0) >= 3)
    t.equal(value(samples, 'fdt_connections_budget'), 2)
    t.ok((value(samples, 'fdt_connections') ?? 3) <= 2)
  })

  await t.test('provisionings, events and stored figures are in a scrape', async t => {
    const settled = (samples: Sample[]) => value(samples, 'fdt_outbox_waiting') === 0
    const samples = await until('all is published', async () => {
      const all = await ofEmployee()
      return settled(all) && value(all, 'fdt_consumer_pending') === 0 ? all : null
    })
    t.equal(value(samples, 'fdt_provisions_total', { outcome: 'ready' }), 3)
    t.equal(value(samples, 'fdt_provision_step_seconds_count', { step: 'schema' }), 3)
    t.ok((value(samples, 'fdt_events_total', { durable: 'tenants-employee', outcome: 'acked' }) ?? 0) >= 3)
    t.equal(value(samples, 'fdt_outbox_published_total', { outcome: 'published' }), 3)
    t.equal(value(samples, 'fdt_tenants', { lifecycle: 'active', provisioned: 'ready' }), 3)
    t.equal(value(samples, 'fdt_dead_events'), 0)
    t.equal(value(samples, 'fdt_consumer_pending', { durable: 'tenants-employee' }), 0)
    t.equal(value(samples, 'fdt_part_up', { part: 'nats' }), 1)
    t.equal(
      samples.every(({ labels }) => labels.service === 'employee'),
      true,
      'each has its service',
    )
  })

  await t.test('no tenant is named except the listed ones', async t => {
    const response = await employee.inject({ url: '/metrics', headers: bearer })
    t.match(response.body, /tenant="acme"/)
    t.match(response.body, /tenant="initech"/)
    t.notMatch(response.body, /globex|unregistered/)
    t.notMatch((await identity.inject('/metrics')).body, /acme|globex|initech/)
  })

  await t.test('two services in one process count each for itself', async t => {
    const samples = await scrape(identity)
    t.equal(value(samples, 'fdt_leases_total', { pool: 'tenant' }) ?? 0, 0)
    t.equal(
      samples.every(({ labels }) => labels.service === 'identity'),
      true,
    )
  })

  await t.test('every query of the dashboard and of the alerts has its samples in a real scrape', async t => {
    const samples = [...(await ofEmployee()), ...(await scrape(identity))]
    const labels = new Map<string, Set<string>>()
    for (const { name, labels: found } of samples) {
      const known = labels.get(name) ?? new Set()
      for (const key of Object.keys(found)) known.add(key)
      labels.set(name, known)
    }
    const queries = [...dashboardQueries(), ...alertQueries()]
    t.ok(queries.length > 40)
    const offences = queries.flatMap(query => offencesOf(query, labels))
    t.same(offences, [])
    const [any = ''] = queries
    t.ok(offencesOf(any.replace(/fdt_\w+/, 'fdt_nothing'), labels).length > 0, 'the check itself can fail')
  })

  await t.test('with its database frozen a scrape still arrives, without the stored figures', async t => {
    made.servers.postgres.employee?.freeze()
    try {
      const samples = await until('stored figures are absent, and the database down', async () => {
        const all = await ofEmployee()
        const seen = value(all, 'fdt_tenants') === undefined && value(all, 'fdt_part_up', { part: 'database' }) === 0
        return seen ? all : null
      })
      t.equal(value(samples, 'fdt_outbox_waiting'), undefined, 'absent, not 0')
      t.equal(value(samples, 'fdt_connections_budget'), 2, 'figures in memory stay')
    } finally {
      made.servers.postgres.employee?.thaw()
    }
    await until('the figures are back', async () => value(await ofEmployee(), 'fdt_tenants') !== undefined)
  })
})

interface Panel {
  readonly targets?: readonly { readonly expr: string }[]
}

function dashboardQueries(): string[] {
  const dashboard = JSON.parse(readFileSync('deploy/grafana-dashboard.json', 'utf8')) as { panels: Panel[] }
  return dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
}

function alertQueries(): string[] {
  const { groups } = parse(readFileSync('deploy/alerts.yml', 'utf8')) as { groups: { rules: { expr: string }[] }[] }
  return groups.flatMap(({ rules }) => rules.map(({ expr }) => expr))
}

/** Metrics that no sample has, and labels that no sample of their metric has. */
function offencesOf(query: string, known: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const found: string[] = []
  for (const [, name = '', matchers = ''] of query.matchAll(/\b((?:fdt|nodejs|process)_\w+)(?:\{([^}]*)\})?/g)) {
    const labels = known.get(name)
    if (!labels) {
      found.push(`${name}: no such metric, in ${query}`)
      continue
    }
    for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)) {
      if (!labels.has(label)) found.push(`${name} has no label ${label}, in ${query}`)
    }
  }
  const all = new Set([...known.values()].flatMap(labels => [...labels]).concat('instance', 'job'))
  for (const [, by = ''] of query.matchAll(/\bby \(([^)]*)\)/g)) {
    for (const label of by.split(',').map(one => one.trim())) {
      if (!all.has(label)) found.push(`no metric has the label ${label}, in ${query}`)
    }
  }
  return found
}
