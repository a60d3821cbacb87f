// A process that runs one command of the operator after the other, for `operator-commands.ts`: everything a command is made
// of but the start of its process, which takes more of a core than most commands do. It writes a mark behind the output of each.
import { runCommand } from '../../cli/program.js'

export interface Order {
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly mark: string
}

process.on('message', ({ args, env, mark }: Order) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  void runCommand(args).then(code => {
    process.stdout.write(mark)
    process.stderr.write(mark)
    process.send?.(code)
  })
})
