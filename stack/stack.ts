// The whole stack on one machine: servers, then each service's role and database, then the services, then stack.json.
// Down it goes the other way round. A start that fails or is aborted takes down what it has begun before it throws.
import { fileURLToPath } from 'node:url'
import { initService } from './init.js'
import { databaseOf, perService, roleOf, type ServiceName, serviceNames } from './names.js'
import { randomPassword } from './servers/folder.js'
import type { NatsUser } from './servers/nats.js'
import { freePort } from './servers/ports.js'
import type { Servers } from './servers/start.js'
import { createService, localUrl, type Service } from './service.js'
import { inheritedEnvironment, type StackSecrets, serviceEnvironment, stackSecrets } from './service-environment.js'
import { obtainServers, type ServerSource } from './source.js'
import { removeStackFile, type StackInfo, writeStackFile } from './stack-file.js'

export interface StackOptions {
  /** Free ports without it. */
  ports?: Record<ServiceName, number>
  env?: NodeJS.ProcessEnv
  /** More variables for every service, over all others. */
  serviceEnv?: NodeJS.ProcessEnv
  /** Programs that run instead of the package's own. `init: undefined` skips that step. */
  programs?: { service(name: ServiceName): string; init: string | undefined }
  /** Where stack.json goes; without it none is written. */
  folder?: string
  /** true keeps data safe against power loss, at the speed a real server has. */
  durable?: boolean
  /** NATS users beside the services' own, for clients from outside. */
  natsUsers?: readonly NatsUser[]
  abort?: AbortSignal
  /** The steps of the stack, a line each. */
  output?(line: string): void
  /** The output of the services. */
  onServiceLine?(name: string, line: string): void
  /** A service ended that was not stopped. */
  serviceDied?(message: string, name: string): void
}

export interface RunningStack {
  info: StackInfo
  services: Record<ServiceName, Service>
  /** The servers, unless the environment gave them. */
  servers: Servers<ServiceName> | undefined
  serviceToken: string
  /** One more process of a service, on a port of its own, ready; it ends with the stack. */
  replica(name: ServiceName, env?: NodeJS.ProcessEnv): Promise<Service>
  stop(): Promise<void>
}

const dist = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

const ownPrograms = { service: (name: ServiceName) => dist(`services/${name}/main.js`), init: dist('cli/main.js') }

export async function startStack(options: StackOptions = {}): Promise<RunningStack> {
  const { env = process.env, programs = ownPrograms, folder, abort, output = () => {} } = options
  const running: Service[] = []
  let source: ServerSource | undefined
  let stopping: Promise<void> | undefined

  async function takeDown(): Promise<void> {
    if (folder) removeStackFile(folder)
    const outcomes = await Promise.allSettled(running.map(service => service.stop()))
    await source?.stop()
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  const stop = () => {
    stopping ??= takeDown()
    return stopping
  }

  try {
    source = await obtainServers(env, options.durable ?? false, options.natsUsers)
    output(source.output)
    if (!source.own && !env.TENANT_ROLE_SECRET) {
      output('TENANT_ROLE_SECRET is not set: set one, or the next start cannot open the tenants made by this one.')
    }
    abort?.throwIfAborted()

    const secrets = stackSecrets(env)
    // Several are valid while one is replaced; a client needs one.
    const first = (tokens: string): string => tokens.split(',')[0] as string
    const info = await describe(source, options.ports, {
      ...secrets,
      adminToken: first(secrets.adminToken),
      serviceToken: first(secrets.serviceToken),
    })
    const inherited = inheritedEnvironment(env)
    const { init } = programs
    if (init) {
      const { superuser } = source
      const all = serviceNames.map(name =>
        initService(init, name, info.services[name].database, superuser[name], inherited),
      )
      for (const outcome of await Promise.allSettled(all)) if (outcome.status === 'rejected') throw outcome.reason
      output('Roles and central databases: made, one of each per service.')
    }
    abort?.throwIfAborted()

    const make = (name: ServiceName, port: number, more?: NodeJS.ProcessEnv, label: string = name) => {
      const service = createService({
        name: label,
        program: programs.service(name),
        port,
        env: { ...serviceEnvironment(name, info, secrets, inherited), ...options.serviceEnv, ...more },
        onLine: line => options.onServiceLine?.(label, line),
        died: message => options.serviceDied?.(message, label),
      })
      running.push(service)
      return service
    }
    const services = perService(name => make(name, Number(new URL(info.services[name].url).port)))
    await Promise.all(serviceNames.map(name => services[name].start(abort)))
    abort?.throwIfAborted()

    if (folder) writeStackFile(folder, info)
    return {
      info,
      services,
      servers: source.own,
      serviceToken: secrets.serviceToken,
      async replica(name, more) {
        const service = make(name, await freePort(), more, `${name}-${running.length}`)
        await service.start()
        return service
      },
      stop,
    }
  } catch (error) {
    await stop().catch(() => {})
    throw error
  }
}

async function describe(
  source: ServerSource,
  ports: Record<ServiceName, number> | undefined,
  secrets: StackSecrets,
): Promise<StackInfo> {
  const services = {} as StackInfo['services']
  for (const name of serviceNames) {
    const { host, port } = source.databases[name]
    services[name] = {
      url: localUrl(ports?.[name] ?? (await freePort())),
      database: { host, port, user: roleOf(name), password: randomPassword(), name: databaseOf(name) },
    }
  }
  return { services, nats: source.nats, redis: { url: source.redis.url }, ...secrets }
}
