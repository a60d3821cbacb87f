// The programs of docs/testing.md as a reader has them: in a folder with the migration of the README, compiled, and begun for
// each runner by the line that the page gives.
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

const page = readFileSync('docs/testing.md', 'utf8')
const programs = [...page.matchAll(/^```(?:ts|js)\n\/\/ (\S+)\n([\s\S]*?)^```/gm)].map(([, name = '', text = '']) => ({
  name,
  text,
}))

/** Programs of the page that have no name. */
export const nameless = (page.match(/^```(ts|js)$/gm)?.length ?? 0) - programs.length

export function writePrograms(folder: string): void {
  for (const { name, text } of programs) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  mkdirSync(join(folder, 'migrations'))
  const [, table = ''] =
    /```sql\n-- migrations\/001\.do\.invoices\.sql\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? []
  writeFileSync(join(folder, 'migrations/001.do.invoices.sql'), table)
}

/** @throws with the compiler's report in `stdout` */
export async function compilePrograms(folder: string): Promise<void> {
  const options = '--module nodenext --target es2023 --strict --skipLibCheck --types node --ignoreConfig'.split(' ')
  const typed = programs.filter(({ name }) => name.endsWith('.ts')).map(({ name }) => name)
  await promisify(execFile)(resolve('node_modules/.bin/tsc'), [...options, ...typed], { cwd: folder })
}

/**
 * The compiled test, twice, as the page begins it for a runner: the copies run in processes of their own, at the same time.
 * @throws when the page does not name the runner, or its own first line
 */
export function copiesFor(folder: string, runner: string): string[] {
  const [, first = ''] = new RegExp(`\\| \`(import [^\`]* from '${runner}'[^\`]*)\``).exec(page) ?? []
  const source = readFileSync(join(folder, 'app.test.js'), 'utf8')
  const [ofNode = ''] = /^import .* from 'node:test';$/m.exec(source) ?? []
  if (first === '' || ofNode === '') throw new Error(`docs/testing.md has no first line for ${runner}`)
  const names = ['one', 'another'].map(copy => `${copy}-${runner.replace(/\W+/g, '-')}.test.js`)
  for (const name of names) writeFileSync(join(folder, name), source.replace(ofNode, first))
  return names
}
