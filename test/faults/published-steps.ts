// The steps that a process publishes on the diagnostics channels, for preloads (`--import`): synchronously, before or after the change that
// they are about, so that product code has no points for tests.
import { subscribe } from 'node:diagnostics_channel'
import { areas, channelName, highVolumeAreas } from '../../plugins/distributed-tenant/diagnostics/channels.js'

interface PublishedStep {
  readonly area: string
  readonly service: string
  readonly event: { readonly type?: string; readonly step?: string }
}

/** @param onStep gets `<area>.<type or step>` */
export function onPublishedSteps(onStep: (service: string, name: string) => void): void {
  const listen = (message: unknown): void => {
    const { area, service, event } = message as PublishedStep
    const what = event.step ?? event.type
    if (what !== undefined) onStep(service, `${area}.${what}`)
  }
  for (const area of areas) if (!highVolumeAreas.has(area)) subscribe(channelName(area), listen)
}
