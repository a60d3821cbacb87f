// The operator's command: its list of commands, and the exit code of their outcome (0 ok, 1 failed,
// 2 usage, 3 drift). Each command lives in a file of its own.
import { Command, CommanderError } from 'commander'
import { exitCodeOf, exitCodes, lastLines } from '../operations/outcome.js'
import { auditCommand } from './commands/audit.js'
import { backupCommand } from './commands/backup.js'
import { deadCommand } from './commands/dead.js'
import { doctorCommand } from './commands/doctor.js'
import { exportCommand } from './commands/export.js'
import { importCommand } from './commands/import-hybrid.js'
import { initCommand } from './commands/init.js'
import { migrateCommand } from './commands/migrate.js'
import { monitorCommands } from './commands/monitor.js'
import { moveCommand } from './commands/move.js'
import { purgeCommands } from './commands/purge.js'
import { restoreCommand } from './commands/restore.js'
import { runCommands } from './commands/run.js'
import { statusCommand } from './commands/status.js'
import { tenantCommands } from './commands/tenants.js'
import { verifyCommand } from './commands/verify.js'
import { withGlobalOptions } from './context.js'
import { printableLines } from './printable.js'

const about = `
Where the services are: --config <file>, else the environment (SERVICE_NAME with DB_*, or <SERVICE>_DB_HOST for each),
else .stack/stack.json. Exit codes: 0 done, 1 failed, 2 called wrongly, 3 something differs from what it should be.`

function createProgram(): Command {
  const program = new Command('distributed-tenant')
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

  const commands = [
    initCommand(),
    ...tenantCommands(),
    statusCommand(),
    doctorCommand(),
    migrateCommand(),
    importCommand(),
    moveCommand(),
    verifyCommand(),
    backupCommand(),
    restoreCommand(),
    exportCommand(),
    ...runCommands(),
    ...monitorCommands(),
    deadCommand(),
    ...purgeCommands(),
    auditCommand(),
  ]
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
    await createProgram().parseAsync([...args], { from: 'user' })
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
