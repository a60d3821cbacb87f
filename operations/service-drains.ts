// Drains of a service, for its operator API. The parts of moves are loaded with the first one, and a service that drains nothing never
// has them.
import type { Drains, MakeDrains } from '../plugins/operator/drains.js'

export const serviceDrains: MakeDrains = (access, onEnd) => {
  let made: Promise<Drains> | undefined
  const drains = (): Promise<Drains> => {
    made ??= import('./move/many/carried-by-service.js').then(module => module.createServiceDrains(access, onEnd))
    return made
  }
  return {
    plan: async instance => (await drains()).plan(instance),
    start: async (instance, count, by) => (await drains()).start(instance, count, by),
    resume: async (run, by) => (await drains()).resume(run, by),
    stop: async run => (await drains()).stop(run),
    close: async deadlineMs => (await made)?.close(deadlineMs),
  }
}
