// The files of a new service, from templates/service: a service that runs as it stands. Invariants: a folder that holds anything is
// left as it is, and so is one where a file cannot be written. No file holds a secret: `init` makes those.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseServiceName } from '../plugins/distributed-tenant/names.js'
import { UsageError } from './outcome.js'

const TEMPLATES = fileURLToPath(new URL('../../templates/service', import.meta.url))
/** The name of the service in the templates, which compile as they are. */
const NAME = /billing/g

export interface NewFile {
  /** Relative to the service's folder. */
  readonly path: string
  readonly text: string
}

/** @param text `billing`, or `billing-service` @throws UsageError */
export function newServiceName(text: string): string {
  let name: string
  try {
    name = parseServiceName(text)
  } catch {
    throw new UsageError(
      `${text} is no name of a service: use 1 to 15 of a-z and 0-9, beginning with a letter, like billing.`,
    )
  }
  if (name === 'identity') {
    throw new UsageError('identity is the service that makes tenants, and is there: choose another name.')
  }
  return name
}

/** The files of a service of this name, in the order of their paths. */
export function newServiceFiles(name: string): NewFile[] {
  if (!existsSync(TEMPLATES)) {
    throw new UsageError(
      'The templates are not part of this installation: run `npx distributed-tenant new` from the package.',
    )
  }
  return readdirSync(TEMPLATES, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .map(file => ({
      path: pathOf(relative(TEMPLATES, file).split(sep).join('/')),
      text: readFileSync(file, 'utf8').replace(NAME, name),
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** In the templates the names of files that tools look for begin with `_`. */
const pathOf = (template: string): string =>
  template.replace(/^_(package|tsconfig)\.json$/, '$1.json').replace(/^_(gitignore|dockerignore)$/, '.$1')

/** @throws UsageError when `folder` is there and not an empty folder */
export function requireEmpty(folder: string): void {
  let entries: string[]
  try {
    entries = readdirSync(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return
    throw new UsageError(`${folder} cannot be used (${code}): choose another folder with --dir.`)
  }
  if (entries.length > 0) {
    throw new UsageError(
      `${folder} is not empty: nothing was written. Choose another folder with --dir, or empty this one.`,
    )
  }
}

/** Writes the files. When one cannot be written, those before it are removed again. @throws UsageError */
export function writeNewService(folder: string, files: readonly NewFile[]): void {
  requireEmpty(folder)
  const written: string[] = []
  try {
    for (const { path, text } of files) {
      const file = join(folder, path)
      const made = mkdirSync(dirname(file), { recursive: true })
      if (made) written.push(made)
      writeFileSync(file, text, { flag: 'wx' })
      written.push(file)
    }
  } catch (error) {
    for (const path of written.reverse()) rmSync(path, { recursive: true, force: true })
    const { code, path } = error as NodeJS.ErrnoException
    throw new UsageError(
      `${path ?? folder} cannot be written (${code}): nothing was made. Choose another folder with --dir.`,
    )
  }
}

/** Where the service goes, by default a folder of its name. */
export const folderOf = (name: string, dir: string | undefined): string => resolve(dir ?? name)
