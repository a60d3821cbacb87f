import { readFileSync } from 'node:fs'
import t from 'tap'
import { eventHeaders } from '../../events/headers.js'
import {
  deadSubject,
  LIFECYCLE_FILTER,
  LIFECYCLE_KINDS,
  LifecycleBody,
  ledgerDurable,
  lifecycleSubject,
  parseLifecycle,
  STATUS_FILTER,
  STATUS_KINDS,
  STREAM,
  STREAM_SUBJECTS,
  StatusBody,
  statusSubject,
  tenantsDurable,
} from '../../events/index.js'
import { quoted, rows, section } from './documents.js'

const file = 'docs/events.md'
const firstCells = (heading: string): string[] => rows(section(file, heading)).flatMap(([cell]) => quoted(cell))
const generic = (text: string): string => text.replace(/\bidentity$/, '<service>')

t.test('docs/events.md lists every subject and durable, and no other', async t => {
  const subjects = [
    ...LIFECYCLE_KINDS.map(lifecycleSubject),
    ...STATUS_KINDS.map(kind => generic(statusSubject(kind, 'identity'))),
    generic(deadSubject('identity')),
  ]
  const durables = [generic(tenantsDurable('identity')), ledgerDurable('identity')]
  t.same(firstCells('## Subjects').sort(), [...subjects, ...durables].sort())
})

t.test('docs/events.md names the stream, its subjects and the filters', async t => {
  const text = readFileSync(file, 'utf8')
  for (const name of [STREAM, ...STREAM_SUBJECTS, LIFECYCLE_FILTER, STATUS_FILTER])
    t.ok(text.includes(`\`${name}\``), name)
})

t.test('docs/events.md lists every field of both bodies', async t => {
  t.same(firstCells('## Lifecycle body').sort(), Object.keys(LifecycleBody.properties).sort())
  t.same(firstCells('## Status body').sort(), Object.keys(StatusBody.properties).sort())
})

t.test('docs/events.md lists every header that is sent', async t => {
  const sent = eventHeaders({ subject: 'tenant.created', messageId: 'id', source: 'identity', time: 'now' }).keys()
  t.same(firstCells('## Headers').sort(), ['Nats-Msg-Id', ...sent].sort())
})

t.test('the example in docs/events.md is an event', async t => {
  const [, example = ''] = /```json\n([\s\S]*?)```/.exec(readFileSync(file, 'utf8')) ?? []
  t.match(parseLifecycle('tenant.created', Buffer.from(example)), { ok: true, event: { id: 'acme', version: 1 } })
  t.same(Object.keys(JSON.parse(example)).sort(), Object.keys(LifecycleBody.properties).sort())
})

t.test('docs/plugin.md names only existing subjects', async t => {
  const written = rows(section('docs/plugin.md', '## Events')).flatMap(([cell]) => quoted(cell))
  t.ok(written.length > 5)
  t.same(
    written.filter(name => !firstCells('## Subjects').includes(name)),
    [],
  )
})
