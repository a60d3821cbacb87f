// The console in a real browser against the whole stack: pages, actions, sessions, roles, and parts that are down.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { type RunningStack, startStack } from '../../stack/stack.js'
import { until } from '../until.js'
import { tooWide, violationsOf } from './accessibility.js'
import { launchBrowser, OPERATOR_TOKEN, open, pages, signIn, tokens } from './browser.js'
import { centralOf, makeTenants, makeTrouble, operator } from './fleet.js'

let stack: RunningStack
let browser: Browser
let base: string

t.before(async () => {
  stack = await startStack({ env: { ...process.env, OPERATOR_TOKEN }, serviceEnv: { LOG_LEVEL: 'warn' } })
  t.teardown(() => stack.stop())
  base = stack.info.services.identity.url
  browser = await launchBrowser()
  t.teardown(() => browser.close())
  await makeTenants(stack, ['Acme', 'Globex', 'Hooli', 'Initech', 'Stark', 'Umbrella'])
  await makeTrouble(stack)
})

const button = (page: Page, name: string | RegExp) =>
  page.getByRole('button', { name, exact: typeof name === 'string' })
const row = (page: Page, id: string) =>
  page.locator('tbody tr', { has: page.getByRole('link', { name: id, exact: true }) })

/** Rows of identity's audit log that an operator has caused. */
async function auditOf(
  actor: string,
): Promise<{ detail: Record<string, string>; tenant: string | null; result: string }[]> {
  const sql = centralOf(stack, 'identity')
  try {
    return await sql`
      select detail, tenant_id as tenant, result from audit_log where actor = ${actor} and kind = 'admin' order by at`
  } finally {
    await sql.end()
  }
}

t.test('the sign-in keeps the token nowhere, and its cookie is out of reach of scripts', async t => {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(`${base}/console`)
  t.equal(page.url(), `${base}/console/`)
  await page.fill('input[name=name]', 'Ada Lovelace')
  await page.fill('input[name=token]', 'wrong-token-of-the-console')
  await button(page, 'Sign in').click()
  await page.getByText('This token is not one of OPERATOR_TOKEN').waitFor()
  await page.fill('input[name=token]', tokens.act)
  await button(page, 'Sign in').click()
  await page.waitForSelector('nav')
  const [cookie] = await context.cookies()
  t.match(cookie, { httpOnly: true, sameSite: 'Strict', path: '/console' })
  const kept = await page.evaluate(
    '({ ...localStorage, ...sessionStorage, cookie: document.cookie, url: location.href })',
  )
  t.notOk(JSON.stringify([kept, cookie]).includes(tokens.act))
  t.notOk(
    Buffer.from(cookie?.value ?? '', 'base64url')
      .toString('latin1')
      .includes(tokens.act),
  )
  await button(page, 'Sign out').click()
  await page.waitForSelector('input[name=token]')
  await context.addCookies([cookie as never])
  t.same((await context.request.get(`${base}/console/api/overview`)).status(), 401, 'a session ends with its sign-out')
  await context.close()
})

t.test('a change needs a session, its CSRF token and the console’s own page', async t => {
  const { page, context } = await signIn(browser, base, { role: 'act' })
  const [cookie] = await context.cookies()
  const { session } = await page.evaluate<{ session: { csrf: string } }>(`fetch('api/session').then(one => one.json())`)
  const call = (headers: Record<string, string>) =>
    fetch(`${base}/console/api/services/identity/fleet/acme/retry`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json', ...headers },
    })
  const own = { cookie: `${cookie?.name}=${cookie?.value}`, 'x-csrf-token': session.csrf }
  const code = async (headers: Record<string, string>) => {
    const answer = await call(headers)
    return [answer.status, ((await answer.json()) as { code?: string }).code]
  }
  t.equal((await call(own)).status, 200)
  t.same(await code({ cookie: own.cookie }), [403, 'CSRF_TOKEN_INVALID'])
  t.same(await code({ ...own, 'x-csrf-token': 'x'.repeat(session.csrf.length) }), [403, 'CSRF_TOKEN_INVALID'])
  t.same(await code({ ...own, 'sec-fetch-site': 'cross-site' }), [403, 'CSRF_TOKEN_INVALID'])
  t.same(await code({ 'x-csrf-token': own['x-csrf-token'] }), [401, 'UNAUTHENTICATED'])
  const [body = '', signature = ''] = (cookie?.value ?? '').split('.')
  const raised = Buffer.from(
    JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url').toString()), role: 'administer' }),
  ).toString('base64url')
  t.same(await code({ ...own, cookie: `${cookie?.name}=${raised}.${signature}` }), [401, 'UNAUTHENTICATED'], 'forged')
  t.same(await code({ ...own, authorization: `Bearer ${tokens.administer}`, cookie: '' }), [401, 'UNAUTHENTICATED'])
  for (const path of ['../../tenants', '%2e%2e/%2e%2e/tenants', 'fleet%2f..%2f..%2ftenants', 'fleet?x=1#'])
    t.not((await fetch(`${base}/console/api/services/identity/${path}`, { headers: own })).status, 500, path)
  const outside = await fetch(`${base}/console/api/services/identity/fleet%2F..%2F..%2Ftenants`, { headers: own })
  t.ok([401, 404].includes(outside.status), 'the proxy reaches the operator API alone')
  await context.close()
})

t.test('the sign-in and every dialog are accessible in both themes, and fit a phone', async t => {
  /** Each opens one, on the page where it is. */
  const dialogs: Readonly<Record<string, readonly [path: string, open: (page: Page) => Promise<unknown>]>> = {
    create: ['tenants', page => button(page, 'Create a tenant').click()],
    bulk: ['tenants', page => button(page, /^Act on/).click()],
    remove: ['tenants/acme', page => button(page, 'Remove').click()],
    event: ['dead', page => page.locator('tbody tr').first().getByRole('button').first().click()],
    migration: ['runs', page => button(page, '20261128-7d31aa').click()],
    backup: ['runs', page => button(page, '20261130-b0c4e1').click()],
    migrate: ['runs?start=migrate', async () => {}],
    move: ['runs?start=move&tenant=acme', async () => {}],
  }
  for (const dark of [false, true]) {
    const theme = dark ? 'dark' : 'light'
    const visitor = await browser.newPage({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' })
    await visitor.goto(`${base}/console/`)
    await visitor.waitForSelector('input[name=token]')
    t.same(await violationsOf(visitor), [], `the sign-in, ${theme}`)
    await visitor.setViewportSize({ width: 390, height: 844 })
    t.ok((await tooWide(visitor)) <= 0, 'the sign-in on a phone')
    await visitor.close()
    const { page, context, complaints } = await signIn(browser, base, { dark })
    for (const [name, [path, show]] of Object.entries(dialogs)) {
      await open(page, base, path)
      await show(page)
      await page.waitForSelector('dialog[open]')
      await page.locator('dialog .loading').waitFor({ state: 'detached' })
      t.same(await violationsOf(page), [], `${name}, ${theme}`)
      await page.setViewportSize({ width: 390, height: 844 })
      t.ok((await tooWide(page)) <= 0, `${name} on a phone`)
      const outside = await page.evaluate<number>(
        `Math.max(...[...document.querySelectorAll('dialog button, dialog input, dialog select')].map(one => one.getBoundingClientRect().right)) - innerWidth`,
      )
      t.ok(outside <= 0, `the controls of ${name} are ${outside} px outside of a phone`)
      await page.setViewportSize({ width: 1280, height: 800 })
      await page.keyboard.press('Escape')
      await page.waitForSelector('dialog', { state: 'detached' })
    }
    t.same(complaints, [])
    await context.close()
  }
})

t.test('every page is accessible in both themes, breaks no policy, and fits a phone', async t => {
  for (const dark of [false, true]) {
    const { page, context, complaints } = await signIn(browser, base, { dark })
    for (const [name, path] of Object.entries(pages)) {
      await open(page, base, path)
      if (name === 'connections') await page.waitForSelector('.chart canvas')
      t.same(await violationsOf(page), [], `${name}, ${dark ? 'dark' : 'light'}`)
      if (!dark) continue
      await page.setViewportSize({ width: 390, height: 844 })
      const wider = await tooWide(page)
      t.ok(wider <= 0, `${name} is ${wider} px too wide`)
      await page.setViewportSize({ width: 1280, height: 800 })
    }
    t.same(complaints, [])
    await context.close()
  }
})

t.test('it works from the keyboard, and the page says where it is', async t => {
  const { page, context } = await signIn(browser, base)
  await page.getByRole('link', { name: 'Tenants' }).focus()
  await page.keyboard.press('Enter')
  await page.locator('h1#title:focus', { hasText: 'Tenants' }).waitFor()
  t.match(await page.title(), /Tenants · Console$/)
  await button(page, 'Create a tenant').focus()
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog[open]')
  await page.keyboard.press('Escape')
  await page.waitForSelector('dialog', { state: 'detached' })
  t.equal(await page.evaluate('document.activeElement?.textContent'), 'Create a tenant', 'the focus is back')
  await context.close()
})

t.test('a list is filtered by its address, and a row changes in place in two browsers', async t => {
  const first = await signIn(browser, base)
  const second = await signIn(browser, base, { name: 'Grace Hopper' })
  for (const { page } of [first, second]) {
    await open(page, base, 'tenants?q=corp&sort=name&order=desc')
    await row(page, 'umbrella').waitFor()
    t.equal(await page.locator('tbody tr').first().getByRole('link').textContent(), 'umbrella')
  }
  await open(first.page, base, 'tenants?q=hoo')
  // The rows of before stay until those of the new filter are there.
  await row(first.page, 'umbrella').waitFor({ state: 'detached' })
  t.equal(await first.page.locator('tbody tr').count(), 1)
  await open(first.page, base, 'tenants/hooli')
  await button(first.page, 'Suspend').click()
  await first.page.locator('dialog').getByRole('button', { name: 'Suspend' }).click()
  await first.page.getByText('hooli is suspended').first().waitFor()
  await row(second.page, 'hooli').getByText('suspended').waitFor()
  t.equal(await second.page.locator('tbody tr').first().getByRole('link').textContent(), 'umbrella', 'nothing jumps')
  await button(first.page, 'Activate').click()
  await row(second.page, 'hooli').getByText('suspended').waitFor({ state: 'detached' })
  t.same([...first.complaints, ...second.complaints], [])
  await first.context.close()
  await second.context.close()
})

t.test('a tenant is created, removed with its id typed, and restored, each under the operator’s name', async t => {
  const { page, context, complaints } = await signIn(browser, base, { name: 'Ada Ö' })
  await open(page, base, 'tenants')
  await button(page, 'Create a tenant').click()
  await page.fill('input[name=name]', 'Wayne Enterprises')
  await page.fill('input[name=id]', 'wayne')
  await button(page, 'Create').click()
  await page.getByRole('heading', { name: 'wayne', level: 1 }).waitFor()
  // Each service’s card follows by itself.
  await page.locator('.grid .badge.good').nth(2).waitFor({ timeout: 120_000 })
  await button(page, 'Remove').click()
  const remove = page.locator('dialog').getByRole('button', { name: 'Remove' })
  t.ok(await remove.isDisabled())
  await page.locator('dialog input').fill('wayn')
  t.ok(await remove.isDisabled(), 'not by a part of the id')
  await page.locator('dialog input').fill('wayne')
  await remove.click()
  await button(page, 'Restore').click()
  await page.locator('dialog').getByRole('button', { name: 'Restore' }).click()
  await button(page, 'Suspend').waitFor()
  const rows = await until('the rows are written', async () => {
    const found = await auditOf('Ada Ö')
    return found.some(({ detail }) => detail.route?.endsWith('restore')) ? found : undefined
  })
  const done = rows.map(
    ({ detail, tenant }) => `${detail.console ?? detail.route?.split('/').at(-1)} ${detail.page ?? tenant ?? ''}`,
  )
  for (const wanted of ['signed in ', 'viewed tenants', 'viewed tenant', 'fleet ', 'remove wayne', 'restore wayne'])
    t.ok(
      done.some(one => one.startsWith(wanted)),
      `${wanted} in ${done.join(', ')}`,
    )
  t.same(complaints, [])
  await context.close()
})

t.test('the same is done with every tenant that the filter fits, the number first', async t => {
  const { page, context } = await signIn(browser, base)
  await open(page, base, 'tenants?q=stark')
  await button(page, 'Act on 1 tenant…').click()
  await page.locator('dialog select').selectOption('suspend')
  await button(page, 'Suspend 1 tenant').click()
  await page.getByText('1 tenant done, 0 refused').waitFor()
  await button(page, 'Close').click()
  await row(page, 'stark').getByText('suspended').waitFor()
  await button(page, 'Act on 1 tenant…').click()
  await page.locator('dialog select').selectOption('remove')
  t.ok(await button(page, 'Remove 1 tenant').isDisabled())
  await page.locator('dialog input').fill('remove 1')
  await button(page, 'Remove 1 tenant').click()
  await page.getByText('1 tenant done, 0 refused').waitFor()
  await context.close()
})

t.test('more dead events than a page are shown when they are asked for', async t => {
  const sql = centralOf(stack, 'employee')
  const made = await sql<{ id: string }[]>`
    insert into dead_events (subject, stream_created, stream_seq, reason, parked, data, headers)
    select 'tenant.created', now(), 910000 + n, 'one of many', false, ''::bytea, '{}' from generate_series(1, 120) as n
    returning id`
  const { page, context } = await signIn(browser, base)
  await open(page, base, 'dead')
  const rows = page.locator('tbody tr')
  t.equal(await rows.count(), 100)
  await button(page, 'Show the next').click()
  await rows.nth(121).waitFor()
  await button(page, 'Show the next').waitFor({ state: 'detached' })
  await context.close()
  await sql`delete from dead_events where id in ${sql(made.map(({ id }) => id))}`
  await sql.end()
})

t.test('an address that names no page opens the first, and a page that cannot be loaded says so', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  for (const address of ['constructor', 'nothing/%E0%A4%A']) {
    await page.goto(`${base}/console/#/runs`)
    await page.getByRole('heading', { name: 'Runs', level: 1 }).waitFor()
    await page.goto(`${base}/console/#/${address}`)
    await page.getByRole('heading', { name: 'Is it us?', level: 1 }).waitFor()
  }
  t.same(complaints, [])
  await page.route('**/pages/doctor.js', route => route.abort())
  await page.goto(`${base}/console/#/doctor`)
  await page.getByText('PAGE_NOT_LOADED').waitFor()
  await page.unroute('**/pages/doctor.js')
  await button(page, 'Load again').click()
  await page.getByRole('heading', { name: 'Doctor', level: 1 }).waitFor()
  await context.close()
})

t.test('without a stream the pages are read again, and once more when it is there', async t => {
  const { page, context } = await signIn(browser, base)
  await page.route('**/api/events', route => route.fulfill({ status: 503 }))
  await page.goto(`${base}/console/#/tenants`)
  await page.reload()
  await row(page, 'globex').waitFor()
  await page.getByText('Polling every 5 s').waitFor()
  t.ok(await page.getByRole('combobox', { name: 'Service of the status' }).isDisabled(), 'without a status')
  await operator(stack, 'POST', '/fleet/globex/suspend')
  await row(page, 'globex').getByText('suspended').waitFor()
  await page.unroute('**/api/events')
  await page.getByText('Live', { exact: true }).waitFor()
  await operator(stack, 'POST', '/fleet/globex/activate')
  await row(page, 'globex').getByText('suspended').waitFor({ state: 'detached' })
  await context.close()
})

t.test('dead events are read, replayed and dropped', async () => {
  const { page, context } = await signIn(browser, base)
  await open(page, base, 'dead')
  const broken = page.locator('tbody tr', { hasText: 'the body is no JSON' })
  await broken.getByRole('button').first().click()
  await page.getByText('{"id":"umbrella",').waitFor()
  await page.locator('dialog').getByRole('button', { name: 'Replay' }).click()
  await page.getByText('still cannot be handled').waitFor()
  const good = page.locator('tbody tr', { hasText: 'was faulty' })
  await good.getByRole('button', { name: 'Replay' }).click()
  await good.waitFor({ state: 'detached' })
  await broken.getByRole('button', { name: 'Drop' }).click()
  const id = await page.locator('dialog code').textContent()
  await page.locator('dialog input').fill(id ?? '')
  await page.locator('dialog').getByRole('button', { name: 'Drop' }).click()
  await page.getByText('No dead events').waitFor()
  t.equal(await page.evaluate('document.activeElement?.id'), 'title', 'the focus did not go with its row')
  await page.getByLabel('Show resolved').check()
  await page.getByText('dropped').first().waitFor()
  await context.close()
})

t.test('all dead events that are shown are replayed at once, and what cannot be handled stays', async t => {
  const sql = centralOf(stack, 'employee')
  await sql`
    insert into dead_events (subject, stream_created, stream_seq, reason, parked, data, headers) values
    ('tenant.created', now(), 920001, 'was faulty', false, ${Buffer.from('{"id":"acme","name":"Acme Corporation"}')}, '{}'),
    ('tenant.created', now(), 920002, 'the body is no JSON', false, ${Buffer.from('{"id":')}, '{}'),
    ('tenant.created', now(), 920003, 'was faulty', false, ${Buffer.from('{"id":"hooli","name":"Hooli Corporation"}')}, '{}'),
    ('tenant.created', now(), 920004, 'of a newer release', true, ${Buffer.from('{"id":"hooli","name":"Hooli Corporation"}')}, '{}')`
  const { page, context, complaints } = await signIn(browser, base)
  await open(page, base, 'dead')
  await button(page, 'Replay all 3 shown').click()
  await page.getByText('2 events of 3 handled.').waitFor()
  await page.locator('tbody tr').nth(2).waitFor({ state: 'detached' })
  t.same(
    [...(await sql`select stream_seq::int as seq from dead_events where resolution is null order by 1`)],
    [{ seq: 920002 }, { seq: 920004 }],
    'not a parked one either',
  )
  // A failure is there until it is closed.
  await button(page, 'Close this message').click()
  await page.getByText('2 events of 3 handled.').waitFor({ state: 'detached' })
  await sql`delete from dead_events where stream_seq between 920001 and 920004`
  await sql.end()
  t.same(complaints, [])
  await context.close()
})

t.test('a run whose process is gone says so with its cure, and is gone on with', async t => {
  const sql = centralOf(stack, 'core')
  await sql`insert into migration_runs (id, target, started_at) values ('20261129-00dead', 2, now() - interval '3 hours')`
  await sql`
    insert into migration_run_tenants (run_id, tenant_id, from_version, state) values
    ('20261129-00dead', 'acme', 1, 'done'), ('20261129-00dead', 'hooli', 1, 'pending')`
  const { page, context, complaints } = await signIn(browser, base)
  await open(page, base, '')
  const finding = page.locator('.findings li', { hasText: 'migrate 20261129-00dead' })
  await finding.getByText('A run was interrupted').waitFor()
  await finding.getByRole('link', { name: 'Open Runs' }).click()
  await page.locator('tbody tr', { hasText: '20261130-b0c4e1' }).getByText('interrupted').waitFor()
  await button(page, '20261129-00dead').click()
  const dialog = page.locator('dialog')
  await dialog.getByText('Its process is gone. Resume goes on from the journal').waitFor()
  await page.route('**/runs/*/resume', route =>
    route.fulfill({ status: 409, json: { code: 'MIGRATION_RUNNING', message: 'Another one runs.' } }),
  )
  await button(page, 'Resume in core').click()
  await dialog.getByRole('alert').getByText('Another one runs.').waitFor()
  await page.unroute('**/runs/*/resume')
  await button(page, 'Resume in core').click()
  await dialog.getByText('2 of 2 tenants').waitFor()
  await dialog.getByText('interrupted').waitFor({ state: 'detached' })
  t.equal(await button(page, 'Mark as stopped').count(), 0)
  t.same([...(await sql`select state from migration_runs where id = '20261129-00dead'`)], [{ state: 'done' }])
  await sql`delete from migration_runs where id = '20261129-00dead'`
  await sql.end()
  t.same(complaints, [])
  await context.close()
})

t.test('a run has its tenants and its commands; rights that were taken are repaired', async () => {
  const { page, context } = await signIn(browser, base)
  await open(page, base, 'runs')
  await button(page, '20261128-7d31aa').click()
  await page.getByText('already exists').waitFor()
  await page.getByText('distributed-tenant migrate --service core --resume 20261128-7d31aa').waitFor()
  await button(page, 'Close').click()
  await open(page, base, 'doctor')
  const sql = centralOf(stack, 'core')
  // The service repairs it by itself once a minute, which may be just now.
  await until('the console has repaired it', async () => {
    // Refused while the service changes the same role.
    await sql.unsafe('alter role "tenant_globex_core" nologin').catch(() => {})
    await button(page, 'Look again').click()
    await page
      .getByText('role closed')
      .waitFor({ timeout: 5_000 })
      .catch(() => {})
    await button(page, 'Repair')
      .first()
      .click({ timeout: 1_000 })
      .catch(() => {})
    return page.getByText('globex is repaired in core').isVisible()
  })
  await sql.end()
  await button(page, 'Look again').click()
  await page.getByText('role closed').waitFor({ state: 'detached' })
  await context.close()
})

t.test('a migration is started, followed, taken back and gone on with from the page', async t => {
  const sql = centralOf(stack, 'core')
  await sql`update tenants set schema_version = 1 where id in ('acme', 'globex', 'initech')`
  const { page, context, complaints } = await signIn(browser, base, { name: 'Ada Runs' })
  await open(page, base, 'runs')
  await button(page, 'Start a run…').click()
  const dialog = page.locator('dialog')
  await dialog.getByLabel('Service').selectOption('core')
  await dialog.getByLabel(/^Tenants/).fill('acme, globex')
  await dialog.getByText('distributed-tenant migrate --service core --tenant acme,globex').waitFor()
  await dialog.getByRole('button', { name: 'Start it in core' }).click()
  await page.getByText('core migrates 2 tenants to version 2.').waitFor()
  // Its dialog opens, and follows the journal.
  await dialog.getByText('2 of 2 tenants').waitFor()
  await dialog.getByRole('row', { name: /globex.*done/ }).waitFor()
  const title = (await dialog.getByRole('heading', { level: 2 }).textContent()) ?? ''
  const id = /Migration (\S+) in core/.exec(title)?.[1] as string
  t.same(
    [...(await sql`select tenant_id as id, state from migration_run_tenants where run_id = ${id} order by 1`)],
    [
      { id: 'acme', state: 'done' },
      { id: 'globex', state: 'done' },
    ],
  )
  await button(page, 'Roll back…').click()
  t.ok(await button(page, 'Roll back').isDisabled(), 'not before its name is typed')
  await dialog.locator('input').fill(id)
  await button(page, 'Roll back').click()
  await dialog.getByText('rolled back').first().waitFor()
  await dialog.getByRole('row', { name: /globex.*rolled back/ }).waitFor()
  t.same((await sql`select schema_version as at from tenants where id = 'globex'`)[0], { at: 1 })
  await button(page, 'Close').click()

  await open(page, base, 'tenants?q=corp&lifecycle=active')
  await button(page, /^Act on/).click()
  await dialog.getByLabel('Action').selectOption('migrate')
  await button(page, /^Migrate/).click()
  await dialog.getByText('3 tenants to version 2').waitFor()
  t.equal(await dialog.getByText('none is behind').count(), 2, 'each service by itself')
  await dialog.getByRole('link', { name: 'See the runs' }).click()
  await page.getByRole('heading', { name: 'Runs', level: 1 }).waitFor()
  await until('they are migrated', async () => {
    const [row] =
      await sql`select count(*)::int as behind from tenants where schema_version = 1 and lifecycle = 'active'`
    return row?.behind === 0
  })
  const rows = await sql`
    select detail->>'route' as route, detail->>'run' as run from audit_log where actor = 'Ada Runs' and kind = 'admin'`
  t.ok(rows.some(({ route }) => route === '/api/operator/runs'))
  t.ok(rows.some(({ run }) => run === id))
  await sql.end()
  t.same(complaints, [])
  await context.close()
})

t.test('what only the command can do has its line, in the words of the deployment, and is copied', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const dialog = page.locator('dialog')
  const copied = async () => {
    await dialog.getByRole('button', { name: 'Copy' }).first().click()
    await dialog.getByText('Copied').first().waitFor()
    return page.evaluate('navigator.clipboard.readText()')
  }
  await open(page, base, 'tenants/acme')
  await page.getByRole('link', { name: 'Back up…' }).click()
  t.equal(await copied(), 'distributed-tenant backup acme')
  await dialog.getByLabel('Run it in').selectOption('compose')
  await dialog.getByText('docker compose run --rm operator backup acme').waitFor()
  await dialog.getByLabel(/^Tenant/).fill('')
  await dialog.getByLabel(/^New folder/).fill('/my backups/1')
  await dialog.getByText(`docker compose run --rm operator backup --all --to '/my backups/1'`).waitFor()
  await dialog.getByLabel('What').selectOption('move')
  await dialog.getByText('identity has one instance: name others in DB_INSTANCES.').waitFor()
  await dialog.getByLabel('What').selectOption('import')
  await dialog.getByText('Name the server.').waitFor()
  await dialog.getByLabel(/^The shared server/).fill('old:5432/central')
  await dialog
    .getByText('docker compose run --rm operator import-hybrid --from postgres://postgres@old:5432/central --dry-run')
    .waitFor()
  await dialog.getByLabel('Run it in').selectOption('shell')
  await button(page, 'Close').click()
  await button(page, '20261130-b0c4e1').click()
  await dialog.getByText('2 of 4 archives').waitFor()
  await dialog.getByRole('row', { name: /hooli.*running/ }).waitFor()
  t.equal(await dialog.getByRole('button', { name: /Resume|Roll back/ }).count(), 0)
  await button(page, 'Close').click()
  await open(page, base, 'tenants/globex')
  await page.getByText('to /backups/2026-11-30').waitFor()
  const sql = centralOf(stack, 'core')
  await sql`update tenants set schema_version = 1 where id = 'globex'`
  await open(page, base, '')
  const finding = page.locator('.findings li', { hasText: 'Schemas are behind' })
  await finding.getByRole('button', { name: 'Copy' }).click()
  await finding.getByText('Copied').first().waitFor()
  t.equal(await page.evaluate('navigator.clipboard.readText()'), 'distributed-tenant migrate --service core')
  await sql`update tenants set schema_version = 2 where id = 'globex'`
  await sql.end()
  t.same(complaints, [])
  await context.close()
})

t.test('an operator without the right sees why, and the service refuses', async t => {
  const { page, context } = await signIn(browser, base, { role: 'read', name: 'Eve' })
  await open(page, base, 'tenants/acme')
  for (const name of ['Retry', 'Suspend', 'Remove']) t.ok(await button(page, name).isDisabled(), name)
  const named = await button(page, 'Remove').getAttribute('aria-describedby')
  t.match(await page.locator(`#${named}`).textContent(), /Your role is read; this needs administer/)
  await button(page, 'Remove').click({ force: true })
  t.equal(await page.locator('dialog').count(), 0)
  const refused = await page.evaluate<[number, string]>(`(async () => {
    const { session } = await (await fetch('api/session')).json()
    const headers = { 'x-csrf-token': session.csrf }
    const answer = await fetch('api/services/identity/fleet/acme/suspend', { method: 'POST', headers })
    return [answer.status, (await answer.json()).code]
  })()`)
  t.same(refused, [403, 'OPERATOR_FORBIDDEN'])
  await context.close()
})

t.test('a stream that broke goes on at its place', async t => {
  const { page, context } = await signIn(browser, base)
  const [cookie] = await context.cookies()
  const headers = { cookie: `${cookie?.name}=${cookie?.value}`, accept: 'text/event-stream' }
  /** Reads until `enough` says so. @returns the text */
  const stream = async (enough: (text: string) => boolean, more: Record<string, string> = {}) => {
    const abort = new AbortController()
    const response = await fetch(`${base}/console/api/events`, {
      headers: { ...headers, ...more },
      signal: abort.signal,
    })
    t.match(response.headers.get('content-type'), /text\/event-stream/)
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      if (enough(text)) break
    }
    abort.abort()
    return text
  }
  let seen = false
  const begun = stream(text => text.includes('"initech"')).then(text => {
    seen = true
    return text
  })
  // A change that is made before the stream is open is none of it.
  await until('the stream has a change', async () => {
    for (const change of ['suspend', 'activate']) await operator(stack, 'POST', `/fleet/initech/${change}`)
    return seen
  })
  await operator(stack, 'POST', '/fleet/initech/suspend')
  const place = [...(await begun).matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] as string
  t.match(place, /^\d+:\d+:[\d,]*$/)
  await operator(stack, 'POST', '/fleet/initech/activate')
  const missed = await stream(text => /"initech".*"lifecycle":"active"/.test(text), { 'last-event-id': place })
  t.match(missed, /event: tenants/)
  t.equal((await fetch(`${base}/console/api/events`)).status, 401, 'not without a session')
  await page.close()
  await context.close()
})

t.test('at 200 changes a second the page keeps up, in two browsers', async t => {
  const first = await signIn(browser, base)
  const second = await signIn(browser, base, { name: 'Grace Hopper' })
  for (const { page } of [first, second]) {
    await open(page, base, 'tenants')
    await row(page, 'acme').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    // What each row has shown, as the page has it.
    await page.evaluate(`{
      window.shown = 0
      new MutationObserver(changes => { window.shown += changes.length }).observe(document.querySelector('tbody'), { subtree: true, childList: true, characterData: true, attributes: true })
    }`)
  }
  const sql = centralOf(stack, 'identity')
  const ids = ['acme', 'globex', 'hooli', 'initech', 'umbrella']
  const behind: number[] = []
  let changes = 0
  // Changes as the ledger gets them from services: 20 in each of a hundred steps, ten steps a second at the most.
  for (let step = 0; step < 100; step++) {
    const begun = performance.now()
    await sql.begin(async tx => {
      for (let at = 0; at < 20; at++) {
        const id = ids[at % ids.length] as string
        await tx`update tenants set name = ${`${id} ${step}-${at}`} where id = ${id}`
        changes++
      }
    })
    if (step % 25 === 24) {
      // The page has this change while more are coming: it is not behind by what came before.
      const wanted = `umbrella ${step}-19`
      const asked = performance.now()
      await sql`update tenants set name = ${wanted} where id = 'umbrella'`
      for (const { page } of [first, second]) await row(page, 'umbrella').getByText(wanted).waitFor()
      behind.push(performance.now() - asked)
    }
    await sleep(Math.max(0, 100 - (performance.now() - begun)))
  }
  t.equal(changes, 2000)
  t.comment(`shown after ${behind.map(Math.round).join(', ')} ms`)
  for (const { page, complaints } of [first, second]) {
    await row(page, 'acme').getByText('acme 99-15').waitFor()
    t.ok((await page.evaluate<number>('window.shown')) > 0, 'rows have changed in place')
    await page.getByText('Live', { exact: true }).waitFor()
    await row(page, 'acme').getByRole('link').click()
    await page.getByRole('heading', { name: 'acme', level: 1 }).waitFor()
    t.same(complaints, [])
  }
  for (const id of ids) await sql`update tenants set name = ${`${id} Corporation`} where id = ${id}`
  await sql.end()
  await first.context.close()
  await second.context.close()
})

t.test('a session that is over says so, and the operator goes on where they were', async t => {
  const { page, context } = await signIn(browser, base)
  await open(page, base, 'dead')
  const [cookie] = await context.cookies()
  const { session } = await page.evaluate<{ session: { csrf: string } }>(`fetch('api/session').then(one => one.json())`)
  // From elsewhere, as another tab does.
  const signedOut = await fetch(`${base}/console/api/session`, {
    method: 'DELETE',
    headers: { cookie: `${cookie?.name}=${cookie?.value}`, 'x-csrf-token': session.csrf },
  })
  t.equal(signedOut.status, 200)
  await page.getByText('Your session is over. Sign in again to go on where you were.').waitFor()
  await page.fill('input[name=name]', 'Ada Lovelace')
  await page.fill('input[name=token]', tokens.read)
  await button(page, 'Sign in').click()
  await page.getByRole('heading', { name: 'Dead events', level: 1 }).waitFor()
  await context.close()
})

t.test('the first page recovers by itself when its first read failed', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  await page.route('**/api/overview', route => route.fulfill({ status: 503, json: { message: 'Not yet.' } }))
  await page.reload()
  await page.getByRole('heading', { name: 'Services', level: 2 }).waitFor()
  t.equal(await page.getByText('Not yet.').count(), 0)
  t.same(complaints, [])
  await context.close()
})

t.test('a list whose first read failed is read again without a click', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  const refused = { status: 503, json: { code: 'OVERLOADED', message: 'Not now.' } }
  await page.route('**/api/tenants?*', route => route.fulfill(refused), { times: 1 })
  await page.route('**/api/services/identity/fleet/acme', route => route.fulfill(refused), { times: 1 })
  await open(page, base, 'tenants')
  await page.getByText('Not now.').waitFor()
  await row(page, 'acme').waitFor()
  t.equal(await page.getByText('Not now.').count(), 0)
  await open(page, base, 'tenants/acme')
  await page.getByText('Not now.').waitFor()
  await page.getByText('Not now.').waitFor({ state: 'detached' })
  t.ok(await button(page, 'Retry').isVisible())
  t.same(complaints, [])
  await context.close()
})

t.test('the focus stays on a button at work, and a start that was closed is not the next one', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  await open(page, base, 'tenants/acme')
  await button(page, 'Retry').focus()
  await page.keyboard.press('Enter')
  await page.getByText('acme: every service that is not ready tries again.').waitFor()
  t.equal(await page.evaluate('document.activeElement?.textContent'), 'Retry')
  await open(page, base, 'runs?start=migrate&tenant=acme')
  const only = page.locator('dialog').getByLabel(/^Tenants/)
  t.equal(await only.inputValue(), 'acme')
  await page.keyboard.press('Escape')
  await page.waitForSelector('dialog', { state: 'detached' })
  await button(page, 'Start a run…').click()
  t.equal(await only.inputValue(), '')
  t.same(complaints, [])
  await context.close()
})

t.test('another operator’s sign-in counts in every tab', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  const other = await context.newPage()
  await other.goto(`${base}/console/#/tenants/acme`)
  await other.getByText('Ada Lovelace', { exact: true }).waitFor()
  await button(page, 'Sign out').click()
  await page.fill('input[name=name]', 'Grace Hopper')
  await page.fill('input[name=token]', tokens.act)
  await button(page, 'Sign in').click()
  await other.getByText('Grace Hopper', { exact: true }).waitFor()
  await button(other, 'Retry').click()
  await other.getByText('acme: every service that is not ready tries again.').waitFor()
  t.same(complaints, [])
  await context.close()
})

t.test('times are the server’s, where the clock of the browser is wrong', async t => {
  const { page, context } = await signIn(browser, base)
  await page.clock.install({ time: Date.now() - 3 * 3_600_000 })
  await page.reload()
  await page.goto(`${base}/console/#/tenants`)
  await row(page, 'acme').waitFor()
  await row(page, 'acme').locator('time').last().waitFor()
  t.match(await row(page, 'acme').locator('time').last().textContent(), /ago|now/)
  await context.close()
})

t.test('a hidden page keeps no stream, and reads again when it is shown', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  await page.clock.install()
  await page.reload()
  await page.goto(`${base}/console/#/tenants`)
  await row(page, 'globex').waitFor()
  await page.getByText('Live', { exact: true }).waitFor()
  const become = (state: string) =>
    page.evaluate(`{
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => '${state}' })
      document.dispatchEvent(new Event('visibilitychange'))
    }`)
  await become('hidden')
  await page.clock.fastForward(61_000)
  await page.getByText('Connecting…').waitFor()
  await operator(stack, 'POST', '/fleet/globex/suspend')
  await become('visible')
  await page.getByText('Live', { exact: true }).waitFor()
  await row(page, 'globex').getByText('suspended').waitFor()
  await operator(stack, 'POST', '/fleet/globex/activate')
  await row(page, 'globex').getByText('suspended').waitFor({ state: 'detached' })
  t.same(complaints, [])
  await context.close()
})

t.test('a connection that is silent does not count as live', async () => {
  const { page, context } = await signIn(browser, base)
  await open(page, base, '')
  await page.getByText('Live', { exact: true }).waitFor()
  const pid = stack.services.identity.pid as number
  process.kill(pid, 'SIGSTOP')
  try {
    await page.getByText('Connecting…').waitFor()
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await page.getByText('Live', { exact: true }).waitFor()
  await context.close()
})

t.test('a service that hangs keeps no other from being shown', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  await page.route('**/vendor/uplot.js', route => route.abort())
  const pid = stack.services.employee.pid as number
  process.kill(pid, 'SIGSTOP')
  try {
    await open(page, base, 'connections')
    await page.getByText(/The service employee does not answer/).waitFor()
    await page.getByRole('heading', { name: 'core', level: 2 }).waitFor()
    await page.getByText('The chart could not be loaded').first().waitFor()
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await page.getByText(/The service employee does not answer/).waitFor({ state: 'detached' })
  t.same(complaints, [])
  await context.close()
})

t.test('a service that is down is named, the others are shown, and it comes back', async t => {
  const { page, context, complaints } = await signIn(browser, base)
  await stack.services.employee.stop()
  await open(page, base, '')
  await page.getByText('employee does not answer').first().waitFor()
  await page.getByText(/It is us: 1 finding that affects tenants/).waitFor()
  await open(page, base, 'tenants')
  await page.getByText(/employee does not answer: the statuses here/).waitFor()
  await row(page, 'acme').waitFor()
  await open(page, base, 'connections')
  await page.getByText(/The service employee does not answer/).waitFor()
  await page.getByRole('heading', { name: 'core', level: 2 }).waitFor()
  await open(page, base, 'tenants')
  await page.getByText(/employee does not answer: the statuses here/).waitFor()
  await stack.services.employee.start()
  await page.getByText(/employee does not answer: the statuses here/).waitFor({ state: 'detached' })
  await open(page, base, '')
  await page.getByText('employee does not answer').first().waitFor({ state: 'detached' })
  t.same(complaints, [])
  await context.close()
})

t.test('with NATS down tenants are shown and the finding has its cure', async () => {
  const { page, context } = await signIn(browser, base)
  await open(page, base, '')
  await stack.servers?.nats.stop()
  await page.getByText('NATS is down').first().waitFor()
  await page.getByText('Start NATS, or correct NATS_URL').first().waitFor()
  await open(page, base, 'tenants')
  await row(page, 'acme').waitFor()
  await stack.servers?.nats.restart()
  await open(page, base, '')
  await page.getByText('NATS is down').first().waitFor({ state: 'detached' })
  await context.close()
})

t.test('ten thousand tenants are paged and searched', async t => {
  // They would read all of them from the feed, for minutes.
  await stack.services.employee.stop()
  await stack.services.core.stop()
  const sql = centralOf(stack, 'identity')
  await sql`
    insert into tenants (id, version, name, lifecycle, provisioned)
    select 'old-' || n, 1, 'Old ' || n, 'deleted', 'removed' from generate_series(1, 10000) as n`
  await sql`
    insert into tenant_services (tenant_id, service, status, version, revision, updated_at)
    select 'old-' || n, service, 'removed', 1, 1, now()
    from generate_series(1, 10000) as n, unnest(array['identity', 'employee', 'core']) as service`
  await sql.end()
  const { page, context, complaints } = await signIn(browser, base)
  await open(page, base, 'tenants?lifecycle=deleted&status=removed')
  await page.getByText('1–50 of 10,000').waitFor()
  await button(page, 'Next').click()
  await page.getByText('51–100 of 10,000').waitFor()
  await page.getByRole('searchbox').fill('old-77')
  await page.keyboard.press('Enter')
  await page.getByText('1–50 of 111').waitFor()
  t.match(page.url(), /q=old-77/)
  t.same(complaints, [])
  await context.close()
})

t.test('all of the page is below 100 kB compressed', async t => {
  const folder = 'dist/plugins/console/public'
  const packed = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.br'))
  const bytes = packed.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
  t.ok(packed.length > 15 && bytes < 100_000, `${bytes} bytes`)
  const answer = await fetch(`${base}/console/vendor/preact.js`, { headers: { 'accept-encoding': 'br' } })
  t.equal(answer.headers.get('content-encoding'), 'br')
})
