// The command `new`: the files of a new service.
import { relative } from 'node:path'
import { Command } from 'commander'
import {
  folderOf,
  newServiceFiles,
  newServiceName,
  requireEmpty,
  writeNewService,
} from '../../operations/new-service.js'
import type { GlobalOptions } from '../context.js'
import { createOutput } from '../output.js'

const about = (): string => `
Writes a service that runs as it stands, with one table and its routes, to change into yours:

${newServiceFiles('billing')
  .map(({ path }) => `  ${path}`)
  .join('\n')}

No file holds a secret: \`distributed-tenant init\` makes .env with new ones. A folder that is not empty is left as it is.`

export function newCommand(): Command {
  return new Command('new')
    .description('write a new service, with a migration, routes, a test and a Dockerfile')
    .argument('<service>', 'its name, like billing')
    .option('--dir <folder>', 'the folder to write; default a folder of that name')
    .option('--dry-run', 'list the files and write none')
    .addHelpText('after', about)
    .action(create)
}

type NewOptions = GlobalOptions & { readonly dir?: string; readonly dryRun?: boolean }

function create(text: string, _options: object, command: Command): void {
  const { dir, dryRun = false, json, quiet } = command.optsWithGlobals<NewOptions>()
  const output = createOutput({ json, quiet })
  const service = newServiceName(text)
  const folder = folderOf(service, dir)
  const files = newServiceFiles(service)
  if (dryRun) requireEmpty(folder)
  else writeNewService(folder, files)
  const shown = relative(process.cwd(), folder) || '.'
  output.line(dryRun ? `${shown} would get:` : `${shown} has:`)
  for (const { path } of files) output.line(`  ${path}`)
  if (!dryRun) output.line(`Next: \`npm install && npm test\` there; ${shown}/README.md has the rest.`)
  output.document({ service, folder, files: files.map(({ path }) => path), written: !dryRun })
}
