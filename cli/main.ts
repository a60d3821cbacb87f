#!/usr/bin/env node
// The operator's command: its list of commands, and the exit code of their outcome (0 ok, 1 failed,
// 2 usage, 3 drift). Each command lives in a file of its own.
import { exitCodes } from '../operations/outcome.js'
import { runCommand } from './program.js'

// A reader that closed the pipe (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

process.exitCode = await runCommand(process.argv.slice(2))
