// Judges the published events: every version identity made is in its outbox, every outbox row has reached the
// stream, and every consumer has received everything.
import { type ServiceName, serviceNames } from '../../stack/names.js'
import type { InstanceFacts } from './instance-facts.js'
import type { Facts } from './ledger-check.js'
import type { StreamFacts } from './stream-facts.js'

export function judgeOutbox(service: ServiceName, { outbox, tenants }: InstanceFacts): string[] {
  const found: string[] = []
  for (const { messageId, published, refused, lastError } of outbox) {
    if (refused) found.push(`${service} set ${messageId} aside: ${lastError}`)
    else if (!published)
      found.push(`${messageId} waits in the outbox of ${service}${lastError ? `: ${lastError}` : ''}`)
  }
  if (service === 'identity') {
    const known = new Set(outbox.map(({ messageId }) => messageId.split(':').slice(1, 3).join(':')))
    for (const { id, version } of tenants) {
      for (let each = 1; each <= version; each++) {
        if (!known.has(`${id}:${each}`)) found.push(`version ${each} of ${id} was never published`)
      }
    }
  }
  for (const { id, lifecycle, provisioned } of tenants) {
    if (lifecycle === 'deleted' || provisioned !== 'ready') continue
    const announced = outbox.some(row => row.tenant === id && row.subject === `tenant.ready.${service}`)
    if (!announced) found.push(`${service} made ${id} ready and never published it`)
  }
  return found
}

/**
 * The newest event of each tenant, of its lifecycle and of each service's status, is in the stream: it holds the
 * whole.
 */
export function judgeStored(facts: Facts, stream: StreamFacts): string[] {
  const found: string[] = []
  for (const name of serviceNames) {
    const newest = new Map<string, string>()
    for (const { tenant, subject, messageId, published } of facts[name].outbox) {
      if (published) newest.set(`${tenant} ${subject.split('.').length}`, messageId)
    }
    for (const messageId of newest.values()) {
      if (!stream.stored.has(messageId)) found.push(`${messageId} of ${name} is not in the stream`)
    }
  }
  return found
}

/** Every consumer exists, has received everything and acknowledged it. */
export function judgeConsumers(stream: StreamFacts): string[] {
  const found: string[] = []
  for (const name of [...serviceNames.map(service => `tenants-${service}`), 'ledger-identity']) {
    if (!stream.consumers.some(consumer => consumer.name === name)) found.push(`the consumer ${name} is missing`)
  }
  for (const { name, pending, unacknowledged } of stream.consumers) {
    if (pending > 0) found.push(`${name} has ${pending} messages to take`)
    if (unacknowledged > 0) found.push(`${name} holds ${unacknowledged} messages unacknowledged`)
  }
  return found
}

export function judgeDead(service: ServiceName, { dead }: InstanceFacts, expected: number): string[] {
  if (dead.length === expected) return []
  const reasons = dead.map(({ subject, reason }) => `${subject}: ${reason}`)
  return [`${service} has ${dead.length} dead letters, not ${expected}: ${reasons.join('; ')}`]
}
