// The place of pg_dump: in a named folder, on the PATH, or behind the script that Debian puts in its place.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t from 'tap'
import { programPath } from '../../../operations/copying/pg-program-paths.js'

t.test('a program', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'programs-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const make = (...path: string[]): string => {
    mkdirSync(join(folder, ...path.slice(0, -1)), { recursive: true })
    const file = join(folder, ...path)
    writeFileSync(file, '#!/bin/sh\n')
    chmodSync(file, 0o755)
    return file
  }
  const versions = join(folder, 'versions')
  mkdirSync(join(folder, 'bin'))
  symlinkSync(make('share', 'pg_wrapper'), join(folder, 'bin', 'pg_dump'))
  const path = [join(folder, 'nowhere'), join(folder, 'bin')].join(delimiter)

  t.equal(programPath('pg_dump', { path, versions }), 'pg_dump', 'the script, where it is the only one')
  make('versions', '9.6', 'bin', 'pg_dump')
  const newest = make('versions', '17', 'bin', 'pg_dump')
  make('versions', '9', 'bin', 'pg_dump')
  make('versions', '18', 'bin', 'psql')
  make('versions', 'common', 'bin', 'pg_dump')
  t.equal(programPath('pg_dump', { path, versions }), newest, 'the newest one installed, as the script chooses')
  t.equal(programPath('pg_dump', { folder: '/given', path, versions }), '/given/pg_dump')
  make('own', 'pg_dump')
  const own = [join(folder, 'own'), path].join(delimiter)
  t.equal(programPath('pg_dump', { path: own, versions }), 'pg_dump', 'the first one on the PATH is used')
  t.equal(programPath('pg_dump', { path: '', versions }), 'pg_dump', 'starting it reports that it is missing')
})
