// Owns hearing what the reconcilers of this process tell, by service, for as long as a test runs.
import type { Test } from 'tap'
import { hear, type Told } from '../../../plugins/distributed-tenant/index.js'

type Reconcile = Extract<Told, { area: 'reconcile' }>

/** @returns the events told so far, of one service or all */
export function reconcileSteps(t: Pick<Test, 'teardown'>): (service?: string) => Reconcile['event'][] {
  const told: Reconcile[] = []
  t.teardown(hear(step => step.area === 'reconcile' && told.push(step), undefined, ['reconcile']))
  return service => told.filter(one => service === undefined || one.service === service).map(({ event }) => event)
}
