import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

const files = ['.', 'docs', 'examples']
  .flatMap(folder => readdirSync(folder).map(name => join(folder, name)))
  .filter(file => file.endsWith('.md'))

/** The anchor that GitHub makes from a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} -]/gu, '')
    .replaceAll(' ', '-')

t.test('every link between the documents leads to an existing place', async t => {
  t.ok(files.length > 6)
  for (const file of files) {
    for (const [, to = ''] of readFileSync(file, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(to)) continue
      const [path = '', part] = to.split('#')
      const target = path === '' ? file : join(dirname(file), path)
      t.ok(existsSync(target), `${file}: ${to}`)
      if (part === undefined) continue
      const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        anchor(heading),
      )
      t.ok(headings.includes(part), `${file}: ${to}`)
    }
  }
})

t.test('every shell block of README, tutorial and examples is valid bash', async t => {
  const texts = ['README.md', 'docs/tutorial.md', 'examples/README.md'].map(file => readFileSync(file, 'utf8'))
  const blocks = [...texts.join('\n').matchAll(/^```(?:ba)?sh\n([\s\S]*?)^```/gm)]
  t.ok(blocks.length > 15)
  for (const [, block = ''] of blocks) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: block, encoding: 'utf8' })
    t.same([status, stderr], [0, ''], block)
  }
})
