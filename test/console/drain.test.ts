// A drain from the console: its plan, its begin, stop and resume, by a service with two instances and in a real browser.
import type { FastifyInstance } from 'fastify'
import type { Browser } from 'playwright-core'
import t from 'tap'
import { serviceDrains } from '../../operations/service-drains.js'
import { audit } from '../../plugins/audit/index.js'
import console, { operatorsByToken } from '../../plugins/console/index.js'
import operator, { operatorOf } from '../../plugins/operator/index.js'
import { type Several, severalInstances } from '../plugins/distributed-tenant/placement/several.js'
import { until } from '../until.js'
import { tooWide, violationsOf } from './accessibility.js'
import { launchBrowser, OPERATOR_TOKEN, open, signIn, tokens } from './browser.js'

const IDS = ['t1', 't2', 't3']

let several: Several
let app: FastifyInstance
let browser: Browser
let base: string

t.before(async () => {
  several = await severalInstances(t)
  app = await several.app('employee', { instances: several.instances }, app => {
    app.register(audit, { actor: request => operatorOf(request)?.name ?? null })
    app.register(operator, { tokens: OPERATOR_TOKEN, drains: serviceDrains })
    app.register(console, {
      prefix: '/console',
      services: { employee: 'here' },
      identity: 'employee',
      token: tokens.administer,
      authorizeOperator: operatorsByToken(OPERATOR_TOKEN),
    })
  })
  base = await app.listen({ host: '127.0.0.1', port: 0 })
  const central = several.look('employee', 'employee_central')
  await central`insert into full_instances (name, marked_by) values ('main', 'the test')`
  for (const id of IDS) await app.tenants.create({ id, name: id })
  await central`delete from full_instances`
  browser = await launchBrowser()
  t.teardown(() => browser.close())
})

const call = async (role: keyof typeof tokens, method: 'GET' | 'POST', path: string, body?: object) => {
  const answer = await app.inject({
    method,
    url: `/api/operator${path}`,
    headers: { authorization: `Bearer ${tokens[role]}`, 'operator-name': 'Ada' },
    ...(body && { payload: body }),
  })
  return { status: answer.statusCode, ...answer.json() }
}

const placed = async () => {
  const central = several.look('employee', 'employee_central')
  const rows = await central<{ instance: string }[]>`select instance from tenants order by id`
  return rows.map(({ instance }) => instance)
}

t.test('the plan has the count, which the begin is checked by, and the right for it is the highest', async t => {
  t.same(await placed(), ['b', 'b', 'b'])
  const plan = await call('read', 'GET', '/instances/b/drain')
  t.match(plan, {
    status: 200,
    instance: 'b',
    way: 'frozen',
    tenants: 3,
    to: { main: 3 },
    staying: 0,
    unfinished: null,
  })
  const begin = { count: 3, confirm: 'b' }
  t.match(await call('act', 'POST', '/instances/b/drain', begin), { status: 403, code: 'OPERATOR_FORBIDDEN' })
  const refused: readonly [string, object, object][] = [
    ['b', { count: 3 }, { status: 422, code: 'NOT_CONFIRMED' }],
    ['b', { ...begin, count: 2 }, { status: 409, code: 'COUNT_CHANGED' }],
    ['z', { ...begin, confirm: 'z' }, { status: 409, code: 'TRANSFER_REFUSED', message: /no instance z/ }],
  ]
  for (const [name, body, outcome] of refused)
    t.match(await call('administer', 'POST', `/instances/${name}/drain`, body), outcome)
  t.match(await call('administer', 'POST', '/runs/20260101-none/resume'), { status: 404 })
  const { items } = await call('read', 'GET', '/instances')
  t.match(items, [
    { name: 'main', drainHere: true },
    { name: 'b', drainHere: true, fullSince: null },
  ])
})

t.test('an instance is drained from the page, stopped, and gone on with, under the operator’s name', async t => {
  const central = several.look('employee', 'employee_central')
  for (const dark of [false, true]) {
    const { page, context, complaints } = await signIn(browser, base, { dark })
    await open(page, base, 'instances')
    t.same(await violationsOf(page), [], 'the page')
    await page.getByRole('button', { name: 'Drain b…' }).click()
    await page.getByText('3 tenants', { exact: false }).first().waitFor()
    await page.locator('dialog input').waitFor()
    t.same(await violationsOf(page), [], 'the dialog')
    await page.setViewportSize({ width: 390, height: 844 })
    t.ok((await tooWide(page)) <= 0)
    t.same(complaints, [])
    await context.close()
  }
  const reader = await signIn(browser, base, { role: 'act', name: 'Eve' })
  await open(reader.page, base, 'instances')
  const disabled = reader.page.getByRole('button', { name: 'Drain b…' })
  t.equal(await disabled.getAttribute('aria-disabled'), 'true')
  t.match(await disabled.getAttribute('title'), /this needs administer/)
  await reader.context.close()

  const { page, context, complaints } = await signIn(browser, base, { name: 'Ada Drains' })
  await open(page, base, 'instances')
  await page.getByRole('button', { name: 'Drain b…' }).click()
  const dialog = page.locator('dialog')
  await dialog.getByText(/It marks b full/).waitFor()
  await dialog.getByText(/3 to main/).waitFor()
  await dialog.getByText(/writers of each tenant are refused/).waitFor()
  const begin = page.getByRole('button', { name: 'Drain 3 tenants' })
  t.ok(await begin.isDisabled(), 'not before its name is typed')
  await dialog.locator('input').fill('b')
  // While the journal of moves is locked, the first tenant is under way.
  let release = (): void => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const locked = central.begin(async tx => {
    await tx`lock table transfer_tenants in share row exclusive mode`
    await begin.click()
    await released
  })
  await dialog.getByText(/^Drain \S+ in employee$/).waitFor()
  await dialog.getByText('0 of 3 tenants').waitFor()
  await dialog.getByText('running').first().waitFor()
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await page.getByText(/stops after the tenants under way/).waitFor()
  release()
  await locked
  await dialog.getByText('1 of 3 tenants').waitFor()
  await until('it has stopped', async () => {
    const { items } = await call('read', 'GET', '/runs?kind=drain')
    return items[0].state === 'stopped' && (await placed()).filter(one => one === 'main').length === 1
  })
  const [{ id }] = (await call('read', 'GET', '/runs?kind=drain')).items
  await page.getByRole('button', { name: 'Resume in employee' }).click()
  await dialog.getByText('3 of 3 tenants').waitFor()
  await until('it is done', async () => (await call('read', 'GET', '/runs?kind=drain')).items[0].state === 'done')
  t.same(await placed(), ['main', 'main', 'main'])
  for (const one of IDS)
    t.ok(await app.tenants.run(one, ({ sql }) => sql`select count(*) from notes`), `${one} is served`)
  await page.getByRole('button', { name: 'Close', exact: true }).click()

  t.match([...(await central`select name, marked_by as by from full_instances`)], [{ name: 'b', by: 'Ada Drains' }])
  const rows = await until('the rows are written', async () => {
    const found = await central<{ route: string | null; command: string | null; tenant: string | null }[]>`
      select detail->>'route' as route, detail->>'command' as command, tenant_id as tenant
      from audit_log where actor = 'Ada Drains' and kind = 'admin'`
    return found.filter(({ route }) => route?.startsWith('/api/operator/')).length >= 3 ? found : undefined
  })
  const routes = rows.map(({ route }) => route)
  for (const one of ['instances/:name/drain', 'runs/:run/stop', 'runs/:run/resume'])
    t.ok(routes.includes(`/api/operator/${one}`), one)
  const tenants = rows
    .filter(({ command, tenant }) => command === 'drain' && tenant !== null)
    .map(({ tenant }) => tenant)
  t.same(new Set(tenants), new Set(IDS))
  t.match(await call('administer', 'POST', `/runs/${id}/resume`), { status: 409, code: 'RUN_REFUSED' })
  t.same(complaints, [])
  await context.close()
})
