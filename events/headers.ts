// A message's headers: CloudEvents and trace context out, a plain record in. Headers are optional everywhere:
// a bare publish has none, and nothing may depend on them.
import type { MsgHdrs } from 'nats'
import { natsLibrary } from './libraries.js'

const CE = 'ce-'

/** CloudEvents `dataschema`: raised when a body can no longer be read by releases that know the version before. */
export const DATA_SCHEMA = 'urn:fastify-distributed-tenant:event:1'

export interface HeaderFields {
  readonly subject: string
  readonly messageId: string
  /** CloudEvents `source`: the publisher, e.g. `identity`. */
  readonly source: string
  /** When it happened, ISO 8601. */
  readonly time: string
  readonly extra?: Readonly<Record<string, string>>
}

/** CloudEvents 1.0 in binary mode; `extra` (traceparent, tracestate) is added and cannot override these. @internal */
export function eventHeaders({ subject, messageId, source, time, extra }: HeaderFields): MsgHdrs {
  const all = natsLibrary().headers()
  for (const [name, value] of Object.entries(extra ?? {})) all.set(name, value)
  all.set('content-type', 'application/json')
  all.set(`${CE}specversion`, '1.0')
  all.set(`${CE}id`, messageId)
  all.set(`${CE}source`, source)
  // The type without the service, so that one name means one kind of event.
  all.set(`${CE}type`, subject.split('.').slice(0, 2).join('.'))
  all.set(`${CE}time`, time)
  all.set(`${CE}dataschema`, DATA_SCHEMA)
  return all
}

/** Whether a message declares a body of a newer release's form; one that declares none has the form of this release. */
export function isNewerSchema(headers: Readonly<Record<string, string>>): boolean {
  const said = headers[`${CE}dataschema`]
  return said !== undefined && said !== DATA_SCHEMA
}

/** First value of each header; empty when there are none. @internal */
export function headerRecord(found: MsgHdrs | undefined): Record<string, string> {
  const record: Record<string, string> = {}
  if (found !== undefined) for (const name of found.keys()) record[name] = found.get(name)
  return record
}
