// The operator's command: its list of commands, and the exit code of their outcome (0 ok, 1 failed,
// 2 usage, 3 drift). Each command lives in a file of its own, which is loaded when its name is among the arguments.
import { Command, CommanderError } from 'commander'
import { exitCodeOf, exitCodes, lastLines } from '../operations/outcome.js'
import { release } from '../operations/release.js'
import { withGlobalOptions } from './context.js'
import { printableLines } from './printable.js'

const about = `
The services are found by --config <file>, else by the environment (SERVICE_NAME with DB_*, or <SERVICE>_DB_HOST for each), else by
.stack/stack.json. list, show, create, suspend, activate, remove, retry, status, dead, instances list and migrate --list ask the operator
API of a service where its address and an operator token are configured (OPERATOR_TOKEN or OPERATOR_TOKEN_FILE, never an argument) and it
answers, and say which way was taken. Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 something differs from what is required.`

/** The commands in the order of the help, by their names. */
export const commandFiles: readonly { readonly names: readonly string[]; readonly load: () => Promise<Command[]> }[] = [
  { names: ['new'], load: async () => [(await import('./commands/new.js')).newCommand()] },
  { names: ['init'], load: async () => [(await import('./commands/init.js')).initCommand()] },
  {
    names: ['list', 'show', 'create', 'suspend', 'activate', 'remove', 'retry'],
    load: async () => (await import('./commands/tenants.js')).tenantCommands(),
  },
  { names: ['status'], load: async () => [(await import('./commands/status.js')).statusCommand()] },
  { names: ['doctor'], load: async () => [(await import('./commands/doctor.js')).doctorCommand()] },
  { names: ['migrate'], load: async () => [(await import('./commands/migrate.js')).migrateCommand()] },
  { names: ['import-hybrid'], load: async () => [(await import('./commands/import-hybrid.js')).importCommand()] },
  { names: ['move'], load: async () => [(await import('./commands/move.js')).moveCommand()] },
  { names: ['drain', 'rebalance'], load: async () => (await import('./commands/drain.js')).drainCommands() },
  { names: ['instances'], load: async () => [(await import('./commands/instances.js')).instancesCommand()] },
  { names: ['verify'], load: async () => [(await import('./commands/verify.js')).verifyCommand()] },
  { names: ['backup'], load: async () => [(await import('./commands/backup.js')).backupCommand()] },
  { names: ['restore'], load: async () => [(await import('./commands/restore.js')).restoreCommand()] },
  { names: ['export'], load: async () => [(await import('./commands/export.js')).exportCommand()] },
  { names: ['run', 'psql'], load: async () => (await import('./commands/run.js')).runCommands() },
  { names: ['sizes', 'activity'], load: async () => (await import('./commands/monitor.js')).monitorCommands() },
  { names: ['dead'], load: async () => [(await import('./commands/dead.js')).deadCommand()] },
  { names: ['purge', 'resync'], load: async () => (await import('./commands/purge.js')).purgeCommands() },
  { names: ['nats-remove'], load: async () => [(await import('./commands/nats-remove.js')).natsRemoveCommand()] },
  { names: ['pg-upgrade'], load: async () => [(await import('./commands/pg-upgrade.js')).pgUpgradeCommand()] },
  { names: ['audit'], load: async () => [(await import('./commands/audit.js')).auditCommand()] },
]

/** All of them where no argument is a command: for the help, and for what is written wrongly. */
async function commandsFor(args: readonly string[]): Promise<Command[]> {
  const asked = new Set(args)
  const wanted = commandFiles.filter(({ names }) => names.some(name => asked.has(name)))
  const all = wanted.length === 0 || ['help', '--help', '-h'].some(one => asked.has(one))
  const loaded = await Promise.all((all ? commandFiles : wanted).map(({ load }) => load()))
  return loaded.flat()
}

async function createProgram(args: readonly string[]): Promise<Command> {
  const program = new Command('distributed-tenant')
    .version(release())
    .description('Operates the tenants of services with a database per tenant.')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('Try --help.')
    .addHelpText('after', about)
  const outputConfiguration = {
    writeErr: (text: string) => void process.stderr.write(printableLines(text)),
  }
  program.configureOutput(outputConfiguration)
  withGlobalOptions(program)

  const commands = await commandsFor(args)
  for (const command of commands) program.addCommand(command)
  for (const command of commands.flatMap(one => [one, ...one.commands])) {
    command
      .exitOverride()
      .configureHelp({ showGlobalOptions: true })
      .configureOutput(outputConfiguration)
      .showHelpAfterError('Try --help.')
  }

  return program
}

/** @param args those behind the command's name @returns the exit code */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    const program = await createProgram(args)
    await program.parseAsync([...args], { from: 'user' })
    return exitCodes.ok
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    } else {
      process.stderr.write(`distributed-tenant: ${printableLines(lastLines(error))}\n`)
      return exitCodeOf(error)
    }
  }
}
