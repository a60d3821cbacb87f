// The command `init`: the superuser's setup of a service, made once.
import { Command } from 'commander'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { instancesOf, parseInstances } from '../../plugins/distributed-tenant/config/instances.js'
import { addressOf } from '../../plugins/distributed-tenant/config/servers.js'
import { ConfigurationInvalid } from '../../plugins/distributed-tenant/errors.js'
import { parseServiceName } from '../../plugins/distributed-tenant/names.js'
import type { GlobalOptions } from '../context.js'
import { printableLine } from '../printable.js'

const about = `
Connects as a superuser and makes the service's role (it may create databases and roles, and is no superuser) and its central database
with its mark. PUBLIC loses CONNECT on the central database, on postgres and on template1. The command can be repeated.

DB_HOST, DB_PORT, DB_DATABASE, DB_USERNAME and DB_PASSWORD name what to make. INIT_SUPERUSER (default postgres) and INIT_PASSWORD or
INIT_PASSWORD_FILE are the superuser's login. Passwords are read from the environment only. Each instance of DB_INSTANCES gets the same
role and a database {service}_instance. The superuser's login must be the same on all.

Then it writes .env with every variable explained and the values of the environment. A new service gets random secrets. An existing file is
not changed.

--nats-conf adds a user for the service to the file with the accounts of nats-server (deploy/nats.conf). A missing file is made, for the
services of REQUIRED_SERVICES too. The user's new password is in NATS_URL of .env. Give it to nats-server in its environment as
NATS_<SERVICE>_PASSWORD. A file that was changed by hand is refused.`

export function initCommand(): Command {
  return (
    new Command('init')
      .description('make a service’s role and central database, once, as superuser')
      // Not --env-file: Node.js 20 takes that for its own, also behind the program's name.
      .option('--write-env <file>', 'the file to write; only its owner can read it', '.env')
      .option('--no-write-env', 'write none')
      .option('--nats-conf <file>', 'add the service’s user to the accounts of nats-server in this file')
      .addHelpText('after', about)
      .action(init)
  )
}

type InitOptions = GlobalOptions & { readonly writeEnv: string | false; readonly natsConf?: string }

async function init(_options: object, command: Command): Promise<void> {
  const options = command.optsWithGlobals<InitOptions>()
  const { readEnvironment, readSecret } = await import('../../plugins/distributed-tenant/config/environment.js')
  const { mayWrite, newSecrets, randomSecret, writeEnvFile } = await import('../../operations/init/env-file.js')
  const { randomRolePassword } = await import('../../operations/init/role-password.js')
  const environment = readEnvironment({
    ...process.env,
    ...(options.service ? { SERVICE_NAME: options.service } : {}),
  })
  if (!environment.SERVICE_NAME) {
    throw new ConfigurationInvalid('No service is named: pass --service employee or set SERVICE_NAME.')
  }
  const service = parseServiceName(environment.SERVICE_NAME)
  const user = environment.DB_USERNAME
  const superuser = process.env.INIT_SUPERUSER || 'postgres'
  if (user === superuser) {
    throw new ConfigurationInvalid(
      `DB_USERNAME is ${user}, the superuser itself: name the service’s own role there, like ${service}_service.`,
    )
  }
  const { writeEnv: path, natsConf } = options
  const writes = path !== false && mayWrite(path)
  // Before anything is made: a file that cannot be added to is refused.
  const nats = natsConf === undefined ? null : await import('../../operations/init/nats-conf.js')
  const conf =
    nats && natsConf !== undefined
      ? nats.natsConfWith(natsConf, service, environment.REQUIRED_SERVICES.split(','))
      : null
  const passwordOfNew = writes ? randomRolePassword() : undefined
  const done: string[] = []
  const onStep = (line: string): void => {
    done.push(line)
    if (!options.quiet && !options.json) process.stdout.write(`${service}: ${printableLine(line)}\n`)
  }
  const database = {
    ...addressOf(environment.DB_HOST, environment.DB_PORT),
    database: environment.DB_DATABASE ?? `${service}_central`,
    user,
    password: environment.DB_PASSWORD,
    ssl: environment.DB_SSLMODE ?? 'prefer',
    sslRootCert: environment.DB_SSLROOTCERT,
  }
  const [, ...others] = instancesOf(database, environment.DB_INSTANCES ? parseInstances(environment.DB_INSTANCES) : {})
  const how = { service, superuser: { user: superuser, password: readSecret('INIT_PASSWORD') }, passwordOfNew, onStep }
  const needsPassword = (): never => {
    throw new ConfigurationInvalid('DB_INSTANCES needs DB_PASSWORD: the role gets the same password on every instance.')
  }
  if (others.length > 0 && !environment.DB_PASSWORD && !writes) needsPassword()
  const made = await bootstrap({ ...how, database })
  // One login for all: the default instance's, given now or existing.
  const password = environment.DB_PASSWORD ?? (made.role ? passwordOfNew : undefined)
  if (others.length > 0 && password === undefined) needsPassword()
  for (const { name: instance, host, port } of others) {
    await bootstrap({ ...how, database: { ...database, host, port, servers: undefined, password }, instance })
  }
  if (nats && natsConf !== undefined && conf !== null) {
    nats.writeNatsConf(natsConf, conf)
    onStep(
      `${natsConf} has the user ${service}: set ${nats.passwordVariable(service)} in the environment of nats-server`,
    )
  }
  let generated: string[] = []
  if (path !== false && writes) {
    // A service that was there has secrets somewhere, and its tenants' passwords derive from them: none is made up for it.
    const secrets = made.central ? newSecrets(service, process.env) : {}
    if (made.role && !environment.DB_PASSWORD && passwordOfNew) secrets.DB_PASSWORD = passwordOfNew
    if (nats && conf !== null && !process.env.NATS_URL_FILE) {
      const url = nats.natsUrlOf(environment.NATS_URL, service, randomSecret())
      if (url !== null) secrets.NATS_URL = url
    }
    const named = { SERVICE_NAME: `${service}-service`, DB_USERNAME: user }
    writeEnvFile(path, service, { ...process.env, ...named, ...secrets })
    generated = Object.keys(secrets).sort()
    onStep(`${path} written${generated.length > 0 ? `, with new secrets: ${generated.join(', ')}` : ''}`)
  } else if (path !== false) {
    onStep(`${path} is there and was left as it is`)
  }
  const envFile = writes ? path : null
  if (options.json) process.stdout.write(`${JSON.stringify({ service, done, envFile, generated })}\n`)
}
