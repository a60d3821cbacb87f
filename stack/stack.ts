// The whole stack on one machine: servers, then each service's role and database, then the services, then stack.json.
// Down it goes the other way round. A start that fails or is aborted takes down what it has begun before it throws.
import { fileURLToPath } from 'node:url'
import { initService, type Superuser } from './init.js'
import { databaseOf, type PerService, perEach, roleOf, type ServiceName } from './names.js'
import type { OwnService } from './own-service.js'
import { randomPassword } from './servers/folder.js'
import type { NatsUser } from './servers/nats.js'
import { freePort } from './servers/ports.js'
import { createService, localUrl, type Service } from './service.js'
import { inheritedEnvironment, type StackSecrets, serviceEnvironment, stackSecrets } from './service-environment.js'
import { obtainServers, type ServerSource, type StackServers } from './source.js'
import { removeStackFile, type StackInfo, writeStackFile } from './stack-file.js'

export interface StackOptions {
  /** Free ports without it. */
  ports?: PerService<number>
  /** Services of the user's own, beside the three. Identity waits for them too before a tenant is ready. */
  own?: readonly OwnService[]
  env?: NodeJS.ProcessEnv
  /** More variables for every service, over all others. */
  serviceEnv?: NodeJS.ProcessEnv
  /** Programs that run instead of the package's own. `init: undefined` skips that step. */
  programs?: { service(name: string): string; init: string | undefined }
  /** Where stack.json goes; without it none is written. */
  folder?: string
  /** Identity first, so that the others find what they need of it: a quiet log. Default: all at once, which is faster. */
  inOrder?: boolean
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
  services: PerService<Service>
  /** The servers, unless the environment gave them. */
  servers: StackServers | undefined
  serviceToken: string
  /** One more process of a service, on a port of its own, ready; it ends with the stack. */
  replica(name: ServiceName, env?: NodeJS.ProcessEnv): Promise<Service>
  stop(): Promise<void>
}

const dist = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

const ownPrograms = { service: (name: string) => dist(`services/${name}/main.js`), init: dist('cli/main.js') }

export async function startStack(options: StackOptions = {}): Promise<RunningStack> {
  const { env = process.env, programs = ownPrograms, folder, abort, output = () => {}, own = [] } = options
  const others = own.map(({ name }) => name)
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
    source = await obtainServers(env, options.durable ?? false, options.natsUsers, others)
    output(source.output)
    if (!source.own && !env.TENANT_ROLE_SECRET) {
      output('TENANT_ROLE_SECRET is not set: set one, or the next start cannot open the tenants made by this one.')
    }
    abort?.throwIfAborted()

    const secrets = stackSecrets(env)
    // Several are valid while one is replaced; a client needs one.
    const first = (tokens: string): string => tokens.split(',')[0] as string
    const strongest = (tokens: string): string => {
      const all = tokens.split(',')
      const one =
        ['administer', 'act', 'read'].flatMap(role => all.filter(token => token.startsWith(`${role}:`)))[0] ?? ''
      return one.slice(one.indexOf(':') + 1)
    }
    const info = await describe(source, own, options.ports, {
      ...secrets,
      adminToken: first(secrets.adminToken),
      serviceToken: first(secrets.serviceToken),
      operatorToken: strongest(secrets.operatorToken),
    })
    const inherited = inheritedEnvironment(env)
    const { init } = programs
    if (init) {
      const { superuser } = source
      const all = Object.entries(info.services).map(([name, { database }]) =>
        initService(init, name, database, superuser[name] as Superuser, inherited),
      )
      for (const outcome of await Promise.allSettled(all)) if (outcome.status === 'rejected') throw outcome.reason
      output('Roles and central databases: made, one of each per service.')
    }
    abort?.throwIfAborted()

    const make = (name: string, port: number, more?: NodeJS.ProcessEnv, label = name) => {
      const ofUser = own.find(one => one.name === name)
      const service = createService({
        name: label,
        program: ofUser?.program ?? programs.service(name),
        folder: ofUser?.folder,
        port,
        env: { ...serviceEnvironment(name, info, secrets, inherited), ...options.serviceEnv, ...more },
        onLine: line => options.onServiceLine?.(label, line),
        died: message => options.serviceDied?.(message, label),
      })
      running.push(service)
      return service
    }
    const services = perEach(others, name => make(name, Number(new URL(info.services[name]?.url as string).port)))
    // Identity makes the stream and the keys that the others wait for.
    if (options.inOrder) await services.identity?.start(abort)
    await Promise.all(Object.values(services).map(service => service.start(abort)))
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
  own: readonly OwnService[],
  ports: PerService<number> | undefined,
  secrets: StackSecrets,
): Promise<StackInfo> {
  const services = {} as StackInfo['services']
  for (const [name, { host, port }] of Object.entries(source.databases)) {
    const migrations = own.find(one => one.name === name)?.migrations
    services[name] = {
      url: localUrl(ports?.[name] ?? (await freePort())),
      database: { host, port, user: roleOf(name), password: randomPassword(), name: databaseOf(name) },
      ...(migrations && { migrations: { tenant: migrations } }),
    }
  }
  return { services, nats: source.nats, redis: { url: source.redis.url }, ...secrets }
}
