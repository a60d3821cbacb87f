// The commands to a running launcher: stop or start one of its services. The answer is one line, `ok …` or the reason.
import type { PerService } from './names.js'
import type { Service } from './service.js'

export const commands = ['stop', 'start'] as const

/** Executes a line. Never rejects: the answer has the failure. */
export async function obey(line: string, services: PerService<Service> | undefined): Promise<string> {
  if (!services) return 'The stack is being started or stopped: try again when it says that it is ready.'
  const [verb, name] = line.split(' ')
  const service = name === undefined || !Object.hasOwn(services, name) ? undefined : services[name]
  if (!service) return `There is no service ${name}.`
  try {
    if (verb === 'stop') await service.stop()
    else if (verb === 'start') await service.start()
    else return `${verb} is no command.`
  } catch (error) {
    return (error as Error).message
  }
  return verb === 'stop' ? `ok ${name} is stopped.` : `ok ${name} is ready at ${service.url}`
}
