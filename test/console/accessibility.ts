// What the console's pages are held to: axe's rules for accessibility, and the width of a phone.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export const violationsOf = async (page: Page): Promise<string[]> => {
  // Through the debugger's protocol, which the page's policy does not bind.
  await page.evaluate(axe)
  return page.evaluate<string[]>(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`,
  )
}

export const tooWide = (page: Page) => page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
