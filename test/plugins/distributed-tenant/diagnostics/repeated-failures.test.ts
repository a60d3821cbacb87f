// Failures that repeat while their cause lasts: one line each.
import type { FastifyBaseLogger } from 'fastify'
import t from 'tap'
import { createStepPublisher } from '../../../../plugins/distributed-tenant/diagnostics/channels.js'
import { logSteps } from '../../../../plugins/distributed-tenant/diagnostics/logging.js'
import { parseServiceName } from '../../../../plugins/distributed-tenant/names.js'

t.test('a NATS user without rights is one line for each subject, whatever inbox its requests have', async t => {
  const origin = {}
  const publish = createStepPublisher(parseServiceName('billing'), origin)
  const lines: string[] = []
  const write = (_: unknown, message: string) => void lines.push(message)
  const log = { warn: write, info: () => {}, error: write, debug: () => {}, trace: () => {} }
  t.teardown(logSteps(log as unknown as FastifyBaseLogger, origin))
  const refuse = (subject: string) =>
    publish({ area: 'events', event: { type: 'server_error', error: `PERMISSIONS_VIOLATION (${subject})` } })
  for (let n = 0; n < 30; n++) {
    refuse(`subscription _INBOX.billing.${n}.*`)
    refuse('publish $JS.API.STREAM.INFO.TENANTS')
    const error = `PERMISSIONS_VIOLATION: 'Permissions Violation for Subscription to "_INBOX.billing.${n}.*"'`
    publish({ area: 'events', event: { type: 'consume_failed', durable: 'billing', error, retryInMs: 1 } })
  }
  t.equal(lines.length, 3, lines.join('\n'))
  t.match(lines[0], /deploy\/nats\.conf/)
  publish({ area: 'events', event: { type: 'connected', server: 'x', secured: true, again: true } })
  refuse('publish $JS.API.STREAM.INFO.TENANTS')
  t.equal(lines.length, 4, 'and again after a reconnect')
})
