// Certificates for tests of TLS: an authority, and the certificates it signs. Removed with the test.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

export interface Certificate {
  readonly key: string
  readonly cert: string
}

export interface Certificates {
  /** The authority's own. */
  readonly ca: string
  /** Certificates for this machine, for another host, and for this machine until yesterday. Paths of PEM files. */
  readonly good: Certificate
  readonly wrongHost: Certificate
  readonly expired: Certificate
  /** An authority that signed none of them. */
  readonly foreignCa: string
}

export function makeCertificates(t: Pick<Test, 'teardown'>): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe', cwd: folder })

  const authority = (name: string): string => {
    openssl(
      ...[
        'req',
        '-new',
        '-x509',
        '-days',
        '2',
        '-nodes',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-subj',
        `/CN=${name}`,
      ],
      ...['-out', `${name}.crt`, '-keyout', `${name}.key`],
    )
    return path(`${name}.crt`)
  }
  const ca = authority('ours')
  const foreignCa = authority('foreign')

  /** `ca` and not `x509`, which cannot say when a certificate began. */
  const sign = (name: string, subject: string, start: string, end: string): Certificate => {
    openssl(
      'req',
      '-new',
      '-nodes',
      '-newkey',
      'rsa:2048',
      '-subj',
      '/CN=server',
      '-out',
      `${name}.csr`,
      '-keyout',
      `${name}.key`,
    )
    writeFileSync(
      path(`${name}.cnf`),
      `[ca]\ndefault_ca=one\n[one]\nnew_certs_dir=.\ndatabase=${name}.db\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n` +
        `x509_extensions=server\n[any]\ncommonName=supplied\n[server]\nsubjectAltName=${subject}\n`,
    )
    writeFileSync(path(`${name}.db`), '')
    openssl(
      ...['ca', '-batch', '-notext', '-config', `${name}.cnf`, '-cert', 'ours.crt', '-keyfile', 'ours.key'],
      ...['-startdate', start, '-enddate', end, '-in', `${name}.csr`, '-out', `${name}.crt`],
    )
    return { key: path(`${name}.key`), cert: path(`${name}.crt`) }
  }
  const here = 'DNS:localhost,IP:127.0.0.1'
  const at = (days: number) => `${new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\..*/g, '')}Z`
  return {
    ca,
    foreignCa,
    good: sign('good', here, at(-1), at(2)),
    wrongHost: sign('wrong-host', 'DNS:elsewhere.example,IP:10.9.8.7', at(-1), at(2)),
    expired: sign('expired', here, at(-3), at(-1)),
  }
}
