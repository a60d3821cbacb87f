#!/usr/bin/env node
// The operator's command as a process: its arguments, its exit code, and a reader of its output that goes away.
import { exitCodes } from '../operations/outcome.js'
import { runCommand } from './program.js'

// `| head` is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

process.exitCode = await runCommand(process.argv.slice(2))
