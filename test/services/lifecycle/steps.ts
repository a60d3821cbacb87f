// Records the steps of this process's reconcilers, by service, for the duration of a test.
import type { Test } from 'tap'
import { type PublishedStep, subscribe } from '../../../plugins/distributed-tenant/index.js'

type Reconcile = Extract<PublishedStep, { area: 'reconcile' }>

/** @returns the events published so far, of one service or all */
export function reconcileSteps(t: Pick<Test, 'teardown'>): (service?: string) => Reconcile['event'][] {
  const seen: Reconcile[] = []
  t.teardown(subscribe(step => step.area === 'reconcile' && seen.push(step), undefined, ['reconcile']))
  return service => seen.filter(one => service === undefined || one.service === service).map(({ event }) => event)
}
