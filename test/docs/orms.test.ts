// The programs of docs/orms.md, compiled and run: each answers two tenants at a time with their own rows alone, and writes
// all of a request or nothing.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyPluginAsync } from 'fastify'
import t from 'tap'
import { rig } from '../rig.js'

/** Inside of the package, so that they import it by its name. */
const folder = 'dist/test/docs/orms'
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

// What `prisma generate` has made.
cpSync('dist/bench/orms/prisma/generated', join(folder, 'generated'), { recursive: true })

const programs = [...readFileSync('docs/orms.md', 'utf8').matchAll(/^```ts\n\/\/ (\w+)\.ts\n([\s\S]*?)^```/gm)].map(
  ([, name = '', text = '']) => ({ name, text }),
)
for (const { name, text } of programs) writeFileSync(join(folder, `${name}.ts`), text)

t.test('every program compiles', async t => {
  t.equal(readFileSync('docs/orms.md', 'utf8').match(/^```ts$/gm)?.length, programs.length, 'each has a name')
  const options = '--module nodenext --target es2023 --strict --skipLibCheck --types node --noImplicitOverride'.split(
    ' ',
  )
  const files = programs.map(({ name }) => join(folder, `${name}.ts`))
  execFileSync('node_modules/.bin/tsc', [...options, '--ignoreConfig', ...files], { stdio: 'pipe', encoding: 'utf8' })
})

t.test('on real servers', async t => {
  const stand = await rig(t, ['notes'])
  const first = await stand.app('notes')
  for (const id of ['acme', 'globex']) await first.tenants.create({ id, name: id })

  for (const { name } of programs) {
    await t.test(name, async t => {
      const { default: routes } = (await import(pathToFileURL(join(folder, `${name}.js`)).href)) as {
        default: FastifyPluginAsync
      }
      const app = await stand.app('notes', {}, app => void app.register(routes))
      const ask = async (tenant: string, rows?: object[]) => {
        const { statusCode, body } = await app.inject({
          method: rows ? 'POST' : 'GET',
          url: '/notes',
          headers: { 'hrms-client-id': tenant },
          ...(rows && { payload: rows }),
        })
        return { statusCode, body: body && JSON.parse(body) }
      }
      const bodies = async (tenant: string) => {
        const { statusCode, body } = await ask(tenant)
        t.equal(statusCode, 200, JSON.stringify(body))
        return body.map((row: { body: string }) => row.body).filter((text: string) => text.startsWith(name))
      }
      const both = <T>(one: (tenant: string) => Promise<T>) => Promise.all(['acme', 'globex'].map(one))

      t.same(await both(bodies), [[], []])
      const posted = await both(tenant => ask(tenant, [{ body: `${name} ${tenant}` }, { body: `${name} 2` }]))
      t.match(posted, [{ statusCode: 200 }, { statusCode: 200 }])
      const twice = await both(tenant => ask(tenant, [{ body: `${name} new` }, { body: `${name} ${tenant}` }]))
      t.match(twice, [{ statusCode: 500 }, { statusCode: 500 }], 'the second is there already')
      for (let round = 0; round < 10; round++) {
        t.same(await both(bodies), [
          [`${name} acme`, `${name} 2`],
          [`${name} globex`, `${name} 2`],
        ])
      }
      t.match(await ask('unknown'), { statusCode: 404, body: { code: 'TENANT_NOT_FOUND' } })
      t.match(app.tenants.connectionInfo(), { inUse: 0, waiting: 0 }, 'every connection is returned')
    })
  }
})
