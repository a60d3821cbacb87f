import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import { parse } from 'yaml'
import type { ConnectionInfo, Tenants } from '../../plugins/distributed-tenant/index.js'
import metrics from '../../plugins/metrics/index.js'
import { quoted, rows, section } from './documents.js'

t.test('docs/metrics.md lists every metric with its type and labels, and no other', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const tenants = { origin: {}, connectionInfo: () => ({ service: 'billing' }) as ConnectionInfo }
  await app.register(
    fp(async scope => void scope.decorate('tenants', tenants as unknown as Tenants), {
      name: 'fastify-distributed-tenant',
    }),
  )
  await app.register(metrics)
  const made = (await app.metrics.getMetricsAsJSON()).map(({ name, type }) => [name, String(type), labelsOf(app, name)])
  const written = rows(section('docs/metrics.md', '# Metrics')).map(([name, type, labels]) => [
    quoted(name)[0],
    type,
    quoted(labels).sort(),
  ])
  const byName = (one: unknown[], other: unknown[]) => String(one[0]).localeCompare(String(other[0]))
  t.ok(made.length > 25)
  t.same(written.sort(byName), made.sort(byName))
})

t.test('docs/troubleshooting.md explains every alert, and no other', async t => {
  const { groups } = parse(readFileSync('deploy/alerts.yml', 'utf8')) as { groups: { rules: { alert: string }[] }[] }
  const made = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert))
  const written = rows(section('docs/troubleshooting.md', '## Alerts')).map(([name]) => quoted(name)[0])
  t.ok(made.length > 10)
  t.same(written.sort(), made.sort())
})

function labelsOf(app: { metrics: { getSingleMetric(name: string): unknown } }, name: string): string[] {
  const { labelNames } = app.metrics.getSingleMetric(name) as { labelNames: readonly string[] }
  return [...labelNames].sort()
}
