// `npm run screenshots`: pictures of every page of the console, into docs/images, of a stack of its own with something to see.
import { mkdirSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startStack } from '../../stack/stack.js'
import { launchBrowser, OPERATOR_TOKEN, open, pages, signIn } from './browser.js'
import { centralOf, makeTenants, makeTrouble, operator } from './fleet.js'

const folder = 'docs/images'
const names = ['Acme', 'Globex', 'Hooli', 'Initech', 'Stark', 'Umbrella', 'Wayne', 'Wonka']
/** Samples of connections before the pictures are taken. */
const TRAFFIC_MS = 60_000
/** Addresses that open one. */
const dialogs = { 'start-run': 'runs?start=migrate&service=core' }

const stack = await startStack({
  env: { ...process.env, OPERATOR_TOKEN },
  serviceEnv: { LOG_LEVEL: 'warn', DISTRIBUTED_MAX_CONNECTIONS: '12', DISTRIBUTED_IDLE_TIMEOUT: '10' },
})
const browser = await launchBrowser()
try {
  mkdirSync(folder, { recursive: true })
  await makeTenants(stack, names)
  await makeTrouble(stack)
  await operator(stack, 'POST', '/fleet/initech/suspend')
  const core = centralOf(stack, 'core')
  await core.unsafe('alter role "tenant_globex_core" nologin')
  await core`
    update tenants set schema_version = 1 where id in ('hooli', 'initech')`
  await core.end()
  await traffic()
  const base = stack.info.services.identity.url
  const { page, context } = await signIn(browser, base, { viewport: { width: 1200, height: 740 } })
  for (const [name, path] of Object.entries(pages)) {
    await open(page, base, path)
    if (name === 'connections') await page.waitForSelector('.chart canvas')
    await sleep(1_500)
    await picture(name)
  }
  for (const [name, path] of Object.entries(dialogs)) {
    await open(page, base, path)
    await page.waitForSelector('dialog[open]')
    await page.locator('dialog .loading').waitFor({ state: 'detached' })
    await sleep(500)
    await picture(name)
    await page.keyboard.press('Escape')
  }
  await context.close()
  const dark = await signIn(browser, base, { dark: true, viewport: { width: 1200, height: 740 } })
  await open(dark.page, base, pages.tenants as string)
  await sleep(1_500)
  await dark.page.screenshot({ path: `${folder}/console-tenants-dark.png` })
  await dark.context.close()
  const phone = await signIn(browser, base, { viewport: { width: 390, height: 844 } })
  await open(phone.page, base, pages.tenants as string)
  await phone.page.screenshot({ path: `${folder}/console-phone.png` })
  await phone.context.close()

  async function picture(name: string): Promise<void> {
    const path = `${folder}/console-${name}.png`
    await page.screenshot({ path })
    process.stdout.write(`${path}  ${Math.round(statSync(path).size / 1024)} kB\n`)
  }
} finally {
  await browser.close()
  await stack.stop()
}

/** Requests of several tenants, so that connections have a past. */
async function traffic(): Promise<void> {
  const end = Date.now() + TRAFFIC_MS
  const { employee } = stack.info.services
  let round = 0
  while (Date.now() < end) {
    round++
    const busy = names.slice(0, 1 + Math.floor(4 + 3 * Math.sin(round / 6)))
    await Promise.all(
      busy.map(name =>
        fetch(`${employee.url}/api/employees`, { headers: { 'hrms-client-id': name.toLowerCase() } }).then(answer =>
          answer.arrayBuffer(),
        ),
      ),
    )
    await sleep(400)
  }
}
