// The packed package in projects of its users: unpacked once, beside links to this repository's packages. Needs no network.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Test } from 'tap'

export const name = 'fastify-distributed-tenant'
export const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  scripts: Record<string, string>
  engines: { node: string }
  exports: Record<string, string>
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, { optional: boolean }>
  repository: { url: string }
  homepage: string
  bugs: string
}

/** The peers that may be missing. */
export const optional = Object.keys(manifest.peerDependenciesMeta)

export interface Packed {
  readonly tarball: string
  /** Its unpacked contents. */
  readonly folder: string
  readonly files: readonly string[]
}

/** Packs what is built: `prepack` would build anew under the running tests. */
export function pack(t: Test): Packed {
  const place = mkdtempSync(join(tmpdir(), 'package-test-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  const pack = ['pack', '--ignore-scripts', '--silent', '--pack-destination', place]
  const tarball = join(place, execFileSync('npm', pack, { encoding: 'utf8' }).trim())
  execFileSync('tar', ['-xzf', tarball, '-C', place])
  const folder = join(place, 'package')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return { tarball, folder, files }
}

export interface Layout {
  /** Of the project, beside the package. A name with another after `=` is that package under the first name. */
  readonly packages: readonly string[]
  /** As pnpm does it: the package and its dependencies where the project cannot import them. Default: as npm does it. */
  readonly pnpm?: boolean
}

/** @returns the project's folder */
export function makeProject(t: Test, { folder }: Packed, { packages, pnpm = false }: Layout): string {
  const project = mkdtempSync(join(tmpdir(), 'project-test-'))
  t.teardown(() => rmSync(project, { recursive: true, force: true }))
  const modules = join(project, 'node_modules')
  for (const given of packages) {
    const [as = given, of = as] = given.split('=')
    link(resolve('node_modules', of), join(modules, as))
  }
  const dependencies = Object.keys(manifest.dependencies)
  const home = pnpm ? join(modules, `.pnpm/${name}/node_modules`) : modules
  cpSync(folder, join(home, name), { recursive: true })
  for (const one of dependencies) if (!existsSync(join(home, one))) link(resolve('node_modules', one), join(home, one))
  if (!pnpm) return project
  link(join(home, name), join(modules, name))
  for (const one of Object.keys(manifest.peerDependencies)) {
    const installed = join(modules, one)
    if (existsSync(installed) && !existsSync(join(home, one))) link(installed, join(home, one))
  }
  return project
}

function link(to: string, from: string): void {
  mkdirSync(dirname(from), { recursive: true })
  symlinkSync(to, from)
}

/** @returns what the compiler found, empty for nothing */
export function compile(project: string, sources: Record<string, string>, options: object, type = 'module'): string {
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type }))
  for (const [file, text] of Object.entries(sources)) writeFileSync(join(project, file), text)
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023'],
    types: ['node'],
    strict: true,
    declaration: true,
    outDir: 'out',
    rootDir: '.',
    ...options,
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(sources) }))
  const tsc = resolve('node_modules/typescript/bin/tsc')
  const { stdout, stderr } = spawnSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' })
  return `${stdout}${stderr}`.trim()
}

/** Runs a program's text in a project. */
export function run(project: string, kind: 'module' | 'commonjs', text: string): { out: string; err: string } {
  const { stdout, stderr } = spawnSync(process.execPath, [`--input-type=${kind}`, '-e', text], {
    cwd: project,
    encoding: 'utf8',
  })
  return { out: stdout.trim(), err: stderr.trim() }
}
