#!/usr/bin/env node
// The operator's command as a process: its arguments, its exit code, and a closed pipe as the reader of its output.
import { exitCodes } from '../operations/outcome.js'
import { runCommand } from './program.js'

// A reader that closed the pipe (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

process.exitCode = await runCommand(process.argv.slice(2))
