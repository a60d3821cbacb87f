#!/usr/bin/env node
// Owns the operator's command: which commands there are, and how their outcome becomes an exit code (0 ok, 1 failed,
// 2 usage, 3 drift). Each command lives in a file of its own.
import { Command, CommanderError } from 'commander'
import { initCommand } from './init.js'

const program = new Command('distributed-tenant')
  .description('Operates the tenants of services with a database per tenant.')
  .exitOverride()
  .showHelpAfterError('Try --help.')
  .addCommand(initCommand())

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    process.stderr.write(`distributed-tenant: ${(error as Error).message}\n`)
    process.exitCode = 1
  }
}
