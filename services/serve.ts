// The process of a service: environment, log, port, signals, exit code. Everything else is in the app.
// A configuration error is one line with the variable and the cure; every exit has its reason in the log.
import { hostname } from 'node:os'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import {
  ConfigurationInvalid,
  type Environment,
  parseServiceName,
  readEnvironment,
} from '../plugins/distributed-tenant/index.js'
import { logFormat } from '../plugins/errors/index.js'
import { every } from '../timing/timers.js'
import type { ServerLimits, ServiceOptions } from './create-service.js'

export interface ProcessOptions {
  name: string
  /** When PORT is not set. */
  port: number
}

/** Seconds of notice by default where a load balancer has to notice the shutdown. */
const PRODUCTION_NOTICE = 2
/** From the signal: the time for accepted requests; connections still open then are cut. */
export const CUT_AFTER_MS = 6_000
const CUT_EVERY_MS = 50
/** From the signal: an orchestrator kills after this and more. */
export const CLOSE_DEADLINE_MS = 11_500

const timeouts: ServerLimits = {
  // Longer than the longest `Prefer: wait`.
  connectionTimeout: 120_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 10_000,
  http: { headersTimeout: 15_000 },
}

/** Runs a service until a signal; resolves when it listens. */
export async function serve(
  build: (options: ServiceOptions) => Promise<FastifyInstance>,
  { name, port }: ProcessOptions,
): Promise<void> {
  let app: FastifyInstance | undefined
  try {
    const environment = readEnvironment()
    checkName(name, environment)
    app = await build({ environment, logger: loggerOptions(name, environment), server: timeouts })
    endWithGrace(
      app,
      (environment.SHUTDOWN_NOTICE ?? (environment.NODE_ENV === 'production' ? PRODUCTION_NOTICE : 0)) * 1000,
    )
    await app.listen({
      port: environment.PORT ?? port,
      host: environment.DOCKER_ENABLED || environment.NODE_ENV === 'production' ? '0.0.0.0' : '127.0.0.1',
      listenTextResolver: address => `${name}-service is ready at ${address}`,
    })
  } catch (error) {
    process.exitCode = 1
    process.stderr.write(`${name}-service cannot start: ${reason(error)}\n`)
    await app?.close()
    process.exit()
  }
}

function checkName(name: string, { SERVICE_NAME }: Environment): void {
  if (SERVICE_NAME && parseServiceName(SERVICE_NAME) !== name) {
    throw new ConfigurationInvalid(
      `SERVICE_NAME is ${SERVICE_NAME}, but this is the ${name} service: set SERVICE_NAME=${name}-service.`,
    )
  }
}

/** One line for a failure that an operator can cure; a stack for any other. */
function reason(error: unknown): string {
  const { code, message, stack, statusCode } = error as NodeJS.ErrnoException & { statusCode?: number }
  if (code === 'EADDRINUSE') return 'its port is in use: set PORT to a free one, or to 0 for any.'
  if (code === 'EACCES') return 'its port is not allowed: set PORT to one above 1023.'
  // The project's own errors carry a status and end with the cure.
  return statusCode !== undefined ? message : (stack ?? String(error))
}

/** Notice, then close, then cut. A second signal does not wait for any of it. */
function endWithGrace(app: FastifyInstance, noticeMs: number): void {
  const { log } = app
  const again = (signal?: string) => {
    log.warn({ signal }, 'second signal; exiting immediately')
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  closeWithGrace({ delay: CLOSE_DEADLINE_MS, logger: log, onSecondSignal: again }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'unexpected error; exiting')
    else log.info({ signal }, 'shutting down: not ready any more, accepted requests are finished')
    const since = performance.now()
    // An idle connection delays nothing; one may also have come in at the last moment.
    const stopCutting = every(CUT_EVERY_MS, () => {
      const late = performance.now() - since > CUT_AFTER_MS
      if (late || (!app.server.listening && app.inFlight() === 0)) app.server.closeAllConnections()
    })
    if (!err) await app.drain(noticeMs)
    await app.close()
    stopCutting()
    log.info('closed')
  })
}

function loggerOptions(service: string, environment: Environment): NonNullable<FastifyServerOptions['logger']> {
  return {
    level: environment.LOG_LEVEL,
    base: { service, pid: process.pid, hostname: hostname() },
    ...logFormat,
    ...(process.stdout.isTTY && { transport: { target: 'pino-pretty', options: { translateTime: 'HH:MM:ss' } } }),
  }
}
