// The next version of Kysely, in place of the one that is installed.
import { register } from 'node:module'
import t from 'tap'

const inItsPlace = `export const resolve = (name, context, next) => next(name === 'kysely' ? 'kysely-next' : name, context)`
register(`data:text/javascript,${encodeURIComponent(inItsPlace)}`, import.meta.url)
const { testKysely } = await import('./kysely.js')
const { installedVersion } = await import('../../orms/kysely/library.js')

t.test('Kysely 0.29', t => {
  t.match(installedVersion(), /^0\.29\./)
  return testKysely(t)
})
