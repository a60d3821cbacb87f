// Chromium for the console's tests and screenshots: the machine's own, without a sandbox where it runs as root.
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { findProgram } from '../../stack/servers/find.js'

export async function launchBrowser(): Promise<Browser> {
  const executablePath = findProgram('chromium') ?? findProgram('google-chrome')
  if (!executablePath)
    throw new Error(
      'Chromium is not on this machine: `npm run setup` as root installs it on Debian; elsewhere install it.',
    )
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
}

export const tokens = {
  read: 'read-token-of-the-console',
  act: 'act-token-of-the-console',
  administer: 'administer-token-of-console',
}
export const OPERATOR_TOKEN = Object.entries(tokens)
  .map(([role, token]) => `${role}:${token}`)
  .join(',')

/** What no page may cause: errors of scripts, and violations of the policy. */
export function complaintsOf(page: Page): string[] {
  const found: string[] = []
  page.on('pageerror', error => found.push(String(error)))
  page.on('console', message => {
    // A failed request is what some tests are about.
    if (message.type() === 'error' && !/Failed to load resource|ERR_/.test(message.text())) found.push(message.text())
  })
  return found
}

export interface SignedIn {
  readonly page: Page
  readonly context: BrowserContext
  readonly complaints: string[]
}

export async function signIn(
  browser: Browser,
  base: string,
  {
    name = 'Ada Lovelace',
    role = 'administer' as keyof typeof tokens,
    dark = false,
    viewport = { width: 1280, height: 800 },
  } = {},
): Promise<SignedIn> {
  const context = await browser.newContext({ viewport, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' })
  context.setDefaultTimeout(180_000)
  const page = await context.newPage()
  const complaints = complaintsOf(page)
  await page.goto(`${base}/console/`)
  await page.fill('input[name=name]', name)
  await page.fill('input[name=token]', tokens[role])
  await page.click('button[type=submit]')
  await page.waitForSelector('nav')
  return { page, context, complaints }
}

export const pages: Readonly<Record<string, string>> = {
  health: '',
  tenants: 'tenants',
  tenant: 'tenants/acme',
  dead: 'dead',
  runs: 'runs',
  doctor: 'doctor',
  connections: 'connections',
  instances: 'instances',
}

/** Opens a page and waits until it shows what it has read. */
export async function open(page: Page, base: string, path: string): Promise<void> {
  await page.goto(`${base}/console/#/${path}`)
  await page.waitForSelector('h1#title')
  await page.locator('main .loading').waitFor({ state: 'detached' })
}
