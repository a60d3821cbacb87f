// The comments that say of which tenant or service a database is.
import t from 'tap'
import {
  centralMarkText,
  instanceMarkText,
  keptMark,
  markText,
  parseCentralMark,
  parseInstanceMark,
  parseKeptMark,
  parseMark,
} from '../../../../plugins/distributed-tenant/databases/marks.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'

const tenant = parseTenantId('acme')
const service = parseServiceName('employee')

t.test('a mark reads as it was written', async t => {
  const mark = { tenant, service, certificate: 'c1', incarnation: 'i1', built: 'b1', restore: 'r1' }
  t.same(parseMark(markText(mark)), mark)
  t.same(parseMark(markText({ tenant, service, certificate: 'c1', incarnation: null })), {
    tenant,
    service,
    certificate: 'c1',
  })
  t.equal(parseCentralMark(centralMarkText(service)), 'employee')
  t.equal(parseInstanceMark(instanceMarkText(service)), 'employee')
  const kept = keptMark({ id: tenant, service, incarnation: 'i1' }, 'run-1')
  t.same(parseKeptMark(kept, tenant, service), { run: 'run-1', incarnation: 'i1' })
  t.equal(parseKeptMark(kept, parseTenantId('globex'), service), null)
})

t.test('a comment that is not whole is no mark, and none is another’s', async t => {
  const whole = [
    markText({ tenant, service, certificate: 'c1', incarnation: null }),
    centralMarkText(service),
    instanceMarkText(service),
    keptMark({ id: tenant, service, incarnation: null }, 'run-1'),
  ]
  const parsers = [
    parseMark,
    parseCentralMark,
    parseInstanceMark,
    (text: string | null) => parseKeptMark(text, tenant, service),
  ]
  for (const [at, parse] of parsers.entries()) {
    for (const comment of [null, '', 'a comment of the operator', ...whole.filter((_, other) => other !== at)]) {
      t.equal(parse(comment), null, String(comment))
    }
    const mark = whole[at] as string
    for (const end of ['', 'null', '[]', '1', '{"tenant":1,"service":2,"certificate":3,"run":4}', '{']) {
      t.equal(parse(mark.slice(0, mark.indexOf('{')) + end), null, `${at} ${end}`)
    }
    t.equal(parse(mark.slice(0, -1)), null, 'cut short')
  }
})
