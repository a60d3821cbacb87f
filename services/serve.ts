// Owns the edge of a service's process: environment, log, port, signals, exit code. Everything else is in the app.
// A configuration error is one line with the variable and the cure; nothing else ends the process without a reason.
import { hostname } from 'node:os'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import { every } from '../events/timers.js'
import {
  ConfigurationInvalid,
  type Environment,
  parseServiceName,
  readEnvironment,
} from '../plugins/distributed-tenant/index.js'
import type { ServerLimits, ServiceOptions } from './create-service.js'

export interface ProcessOptions {
  name: string
  /** When PORT is not set. */
  port: number
}

/** Seconds of notice by default where a load balancer has to learn that we leave. */
const PRODUCTION_NOTICE = 2
/** From the signal: accepted requests have so long; who then still holds a connection is cut. */
const CUT_AFTER_MS = 6_000
const CUT_EVERY_MS = 50
/** From the signal: an orchestrator kills after this and more. */
const CLOSE_DEADLINE_MS = 11_500

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
      `SERVICE_NAME says ${SERVICE_NAME}, and this is the ${name} service: set SERVICE_NAME=${name}-service.`,
    )
  }
}

/** One line for what an operator can cure; a stack for what only we can. */
function reason(error: unknown): string {
  const { code, message, stack, statusCode } = error as NodeJS.ErrnoException & { statusCode?: number }
  if (code === 'EADDRINUSE') return 'its port is in use: set PORT to a free one, or to 0 for any.'
  if (code === 'EACCES') return 'its port is not allowed: set PORT to one above 1023.'
  // Our own errors carry a status and end with the cure.
  return statusCode !== undefined ? message : (stack ?? String(error))
}

/** Notice, then close, then cut. A second signal does not wait for any of it. */
function endWithGrace(app: FastifyInstance, noticeMs: number): void {
  const { log } = app
  const again = (signal?: string) => {
    log.warn({ signal }, 'told twice: leaving at once')
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  closeWithGrace({ delay: CLOSE_DEADLINE_MS, logger: log, onSecondSignal: again }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'an unexpected error ends this process')
    else log.info({ signal }, 'closing: not ready any more, what was accepted is finished')
    const since = performance.now()
    // Who has asked nothing holds nobody up; a connection may also have come in at the last moment.
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

/** What a line of the log may hold. */
export const logFormat = {
  redact: ['req.headers.authorization', 'req.headers.cookie'],
  serializers: { err: serializeError, req: serializeRequest },
}

function loggerOptions(service: string, environment: Environment): NonNullable<FastifyServerOptions['logger']> {
  return {
    level: environment.LOG_LEVEL,
    base: { service, pid: process.pid, hostname: hostname() },
    ...logFormat,
    ...(process.stdout.isTTY && { transport: { target: 'pino-pretty', options: { translateTime: 'HH:MM:ss' } } }),
  }
}

const PATH_MAX = 500

/** The path alone, and not all of a long one: people put names and tokens into queries. */
function serializeRequest({ method, url, ip }: FastifyRequest) {
  const path = url.split('?', 1)[0] as string
  return { method, url: path.length > PATH_MAX ? `${path.slice(0, PATH_MAX)}…` : path, remoteAddress: ip }
}

/** A driver's error also holds the row it was about (`detail`, `parameters`): people's data, not for the log. */
function serializeError(error: Error & { code?: string; constraint_name?: string }) {
  const { name, message, code, constraint_name: constraint, stack } = error
  const cause = error.cause instanceof Error ? error.cause.message : undefined
  return { type: name, message, code, constraint, cause, stack: stack ?? '' }
}
