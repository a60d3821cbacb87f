// The attack table as data: each row a class of hostile input, each input with the answer it must get. Rows that are
// no HTTP (SQL as the tenant's own role, events, the audit log, misuse) are tested elsewhere, by name.
import type { Request } from './wire.js'

export interface Attack {
  readonly row: number
  readonly what: string
  readonly to: 'employee' | 'identity'
  readonly request: Request
  readonly status: number
  /** Absent: Node's own refusal, before the service sees the request. */
  readonly code?: string
  /** A pattern of the answer's head. */
  readonly head?: RegExp
}

export interface Tokens {
  /** An admin of the tenant acme, and a user of globex who may only read. */
  readonly acme: string
  readonly globex: string
  readonly operator: string
  /** Of users of tenants in another state than ready. */
  readonly suspended: string
  readonly deleted: string
  readonly provisioning: string
  readonly forged: readonly (readonly [what: string, token: string])[]
}

const roles = 'test/plugins/distributed-tenant/databases/roles.test.ts'

/** The classes that are no HTTP to a running service: the test that stands for each, by file and name. */
export const testedElsewhere: Readonly<Record<number, readonly [file: string, test: string]>> = {
  25: [
    'test/plugins/distributed-tenant/request/sources.test.ts',
    'a forwarded host counts from a trusted proxy alone, and only one',
  ],
  31: ['test/attacks/sql.test.ts', 'row 31: '],
  32: [roles, 'makes an extension that connects elsewhere'],
  33: [roles, 'cannot connect to '],
  34: [roles, 'runs a program'],
  35: [roles, 'changes its session’s user'],
  36: [roles, 'sees no query text of another'],
  37: [roles, 'ends another’s session'],
  38: ['test/attacks/sql.test.ts', 'row 38: '],
  39: ['test/attacks/sql.test.ts', 'row 39: '],
  40: ['test/attacks/attacks.test.ts', 'row 40: '],
  42: ['test/plugins/distributed-tenant/request/sources.test.ts', 'no cache before the client may mix tenants'],
  43: [
    'test/events/permissions.test.ts',
    'no user but identity reaches the API of the stream, by a request or by a reply',
  ],
  45: ['test/attacks/secrets.test.ts', 'secrets stay where they are'],
  49: ['test/attacks/attacks.test.ts', 'row 49: '],
  50: ['test/attacks/audit.test.ts', 'row 50: '],
  52: ['test/attacks/misuse.test.ts', 'row 52: '],
}

const LIST = '/api/employees'
const BASE = 'hrms.example.com'

const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')
const short = (text: string): string => JSON.stringify(text.slice(0, 40))

/** Ids by row: none of them is one. */
const badIds: Record<number, readonly string[]> = {
  2: [
    "a'; DROP DATABASE x;--",
    'a"b',
    'a\\',
    '%',
    '$1',
    '`id`',
    '$(id)',
    "acme' or '1'='1",
    'acme;select',
    'acme--',
    'acme/*x*/',
    '"; drop role acme; --',
    'acme\\"',
    '{{7*7}}',
    '#{acme}',
    '<script>',
    'acme|cat',
    'acme&&id',
    '*',
    '?',
    '(acme)',
    '[acme]',
    '{"$gt":""}',
    'acme=1',
    'acme#',
    'acme!',
    '@acme',
    'acme~',
    'acme^',
    '+acme',
  ],
  4: ['a,b', 'a b', 'acme\tglobex', '', '   ', ',', 'acme,', ',acme', 'acme, acme', 'acme acme', 'acme;globex', '\t'],
  5: ['a'.repeat(41), 'a'.repeat(56), 'a'.repeat(63), 'a'.repeat(64), 'a'.repeat(255), 'a'.repeat(10_240)],
  8: [
    'café',
    'acme\u200b',
    '\u200bacme',
    '\ufeffacme',
    'acme\u202e',
    'acme\u00a0',
    'аcme',
    'acme\u0301',
    '\u212aacme',
    'ſame',
    'İd',
    'ａｃｍｅ',
    'acme\u2028',
    '\u{1f600}',
    'acme\u00ad',
    'ac\u0440e',
    'ⓐⓒⓜⓔ',
    'acme\u2010x',
  ]
    .map(latin1)
    .concat(['\xc0\xae\xc0\xae', '\xff\xfe', '\x80', 'acme\xa0', '\xed\xa0\x80']),
  9: ['ACME', 'Acme', 'aCME', 'acmE', 'ACme', 'A'],
  10: [
    '..',
    '../x',
    '../../etc/passwd',
    '%2e%2e',
    '/',
    'acme/',
    '/acme',
    './acme',
    'acme/..',
    '..\\x',
    'acme%2fglobex',
    'acme%00',
    '.',
    'acme.',
    '.acme',
    'a.b',
    'file:///x',
    'http://x',
  ],
  11: ['__proto__', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'isPrototypeOf'],
  14: [
    'x_y',
    '-acme',
    'acme-',
    '-',
    '--',
    'a--b',
    'xn--pple-43d',
    'xn--',
    '_acme',
    'acme_',
    'tenant_acme_core',
    'acme_employee',
  ],
  41: ['a:status', 'a*', 'fdt:v1:employee:acme', 'acme:*', 'acme{1}', 'a?c', '[a-z]'],
}

/** Well-formed ids without a tenant. */
const unknownIds: Record<number, readonly string[]> = {
  11: ['constructor', 'prototype'],
  12: [
    'postgres',
    'template0',
    'template1',
    'admin',
    'www',
    'api',
    'internal',
    'system',
    'health',
    'metrics',
    'identity',
    'employee',
    'core',
    'root',
    'public',
  ],
  28: ['unknown', 'no-tenant', '0', 'a', 'a'.repeat(40), 'acme0', '0acme', 'acm', 'acmee', 'acme-x', 'x-acme', 'globe'],
}

const badHosts: Record<number, readonly string[]> = {
  16: [
    `acme.${BASE}:99999`,
    `acme.${BASE}:`,
    `acme.${BASE}:x`,
    `acme.${BASE}:-1`,
    `acme.${BASE}:65536`,
    `acme.${BASE}:80:80`,
    `acme.${BASE}:8 0`,
  ],
  18: [
    `victim@acme.${BASE}`,
    `acme.${BASE}, globex.${BASE}`,
    `acme.${BASE}/../b`,
    `acme..${BASE}`,
    `.${BASE}`,
    `acme.${BASE}..`,
    `acme.${BASE}\\x`,
    `acme.${BASE}?x`,
    `acme.${BASE}#x`,
    `acme.${BASE};x`,
    `http://acme.${BASE}`,
    `acme .${BASE}`,
    `-acme.${BASE}`,
    `acme-.${BASE}`,
    `acme_x.${BASE}`,
    `a'c.${BASE}`,
    `a"c.${BASE}`,
    `*.${BASE}`,
    `acme%2e${BASE}`,
    `acme.${BASE}\tx`,
    `${'a'.repeat(64)}.${BASE}`,
    `${'a.'.repeat(130)}com`,
    '.',
    '..',
    ':',
    ':80',
    '@',
    '[',
    '[::1',
    'acme.com]',
  ],
  22: ['аcme', 'acme。', 'ａcme', 'ⓐⓒⓜⓔ', 'acme\u200b', 'acmé', 'ſame', '\u212aelvin'].map(name =>
    latin1(`${name}.${BASE}`),
  ),
}

export function attacks(tokens: Tokens): Attack[] {
  const as = (token: string) => `Authorization: Bearer ${token}`
  const mine = as(tokens.acme)
  const header = (id: string) => `HRMS-Client-ID: ${id}`
  const rows: Attack[] = []
  const ask = (
    row: number,
    what: string,
    lines: readonly string[],
    status: number,
    code?: string,
    more: Partial<Request> = {},
  ) =>
    rows.push({ row, what, to: 'employee', request: { target: LIST, lines, ...more }, status, ...(code && { code }) })
  const admin = (row: number, what: string, request: Request, status: number, code: string) =>
    rows.push({ row, what, to: 'identity', request, status, code })

  ask(1, 'nothing at all', [], 401, 'UNAUTHENTICATED')
  for (const [row, ids] of Object.entries(badIds)) {
    for (const id of ids) ask(Number(row), `header ${short(id)}`, [mine, header(id)], 400, 'TENANT_ID_INVALID')
  }
  for (const [row, ids] of Object.entries(unknownIds)) {
    for (const id of ids) {
      ask(Number(row), `another’s name ${id}`, [mine, header(id)], 403, 'TENANT_FORBIDDEN')
      ask(Number(row), `no token, ${id}`, [header(id)], 401, 'UNAUTHENTICATED')
    }
  }
  for (const [one, two] of [
    ['acme', 'globex'],
    ['acme', 'acme'],
    ['globex', 'acme'],
    ['acme', ''],
    ['', 'acme'],
  ]) {
    ask(
      3,
      `header twice: ${one}, ${two}`,
      [mine, header(one as string), `hrms-client-id: ${two}`],
      400,
      'TENANT_AMBIGUOUS',
    )
  }
  ask(6, 'a header of 17 KB', [mine, header('a'.repeat(17_000))], 431)
  for (const [what, line] of [
    ['NUL', 'HRMS-Client-ID: ac\0me'],
    ['bare CR', 'HRMS-Client-ID: ac\rme'],
    ['bare LF', 'HRMS-Client-ID: ac\nme'],
    ['a folded line', 'HRMS-Client-ID: acme\r\n globex'],
    ['a blank before the colon', 'HRMS-Client-ID : acme'],
    ['no name', ': acme'],
    ['DEL', 'HRMS-Client-ID: ac\x7fme'],
    ['escape', 'HRMS-Client-ID: \x1b[31macme'],
    ['length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked'],
    ['two lengths', 'Content-Length: 3\r\nContent-Length: 4'],
    ['a negative length', 'Content-Length: -1'],
    ['a signed length', 'Content-Length: +3'],
    ['chunks not last', 'Transfer-Encoding: chunked, identity'],
  ])
    ask(7, what as string, [mine, line as string], 400)

  for (const [row, hosts] of Object.entries(badHosts)) {
    for (const name of hosts) ask(Number(row), `host ${short(name)}`, [mine, `Host: ${name}`], 400, 'HOST_INVALID')
  }
  for (const name of [`globex.${BASE}.`, `globex.${BASE}:8080`, `GLOBEX.${BASE}`, `GloBex.HRMS.Example.COM:80`]) {
    ask(
      name.endsWith('.') ? 15 : name.includes(':') ? 16 : 17,
      `another’s host ${name}`,
      [mine, `Host: ${name}`],
      403,
      'TENANT_FORBIDDEN',
    )
  }
  for (const two of [`globex.${BASE}`, `acme.${BASE}`, 'localhost', '']) {
    ask(19, `two hosts, ${two}`, [mine, `Host: acme.${BASE}`, `Host: ${two}`], 400, 'HOST_INVALID')
  }
  for (const target of [
    `http://globex.${BASE}${LIST}`,
    `http://acme.${BASE}:1@globex.${BASE}${LIST}`,
    `http://evil.com${LIST}`,
    `HTTP://GLOBEX.${BASE}${LIST}`,
  ]) {
    ask(20, `target ${target}`, [mine, `Host: acme.${BASE}`], 400, 'HOST_INVALID', { target })
  }
  for (const name of [
    '127.0.0.1',
    '127.0.0.1:80',
    '[::1]',
    '[::1]:80',
    'localhost',
    '10.0.0.1',
    '0.0.0.0',
    '[fe80::1]',
  ]) {
    ask(21, `address ${name}, no token`, [`Host: ${name}`], 401, 'UNAUTHENTICATED')
    ask(21, `address ${name}, another’s header`, [mine, `Host: ${name}`, header('globex')], 403, 'TENANT_FORBIDDEN')
  }
  for (const name of [
    `x.acme.${BASE}`,
    `acme.globex.${BASE}`,
    `xn--pple-43d.${BASE}`,
    `a--b.${BASE}`,
    `www.acme.${BASE}`,
  ]) {
    ask(23, `host ${name}`, [mine, `Host: ${name}`], 400, 'TENANT_ID_INVALID')
  }
  for (const name of [`globex.${BASE}.evil.com`, `globex.evil${BASE}`, `evil${BASE}`, BASE, `${BASE}.`]) {
    ask(23, `host ${name}, with another’s header`, [mine, `Host: ${name}`, header('globex')], 403, 'TENANT_FORBIDDEN')
  }
  for (const name of [`globex.${BASE}`, `acme.${BASE}, globex.${BASE}`, 'evil', 'victim@x']) {
    ask(
      24,
      `forwarded ${name} by no trusted proxy`,
      [mine, header('globex'), `X-Forwarded-Host: ${name}`],
      403,
      'TENANT_FORBIDDEN',
    )
  }
  for (const [a, b] of [
    ['acme', 'globex'],
    ['globex', 'acme'],
    ['no-tenant', 'acme'],
  ]) {
    ask(26, `header ${a}, host ${b}`, [mine, header(a as string), `Host: ${b}.${BASE}`], 400, 'TENANT_CONFLICT')
  }
  ask(26, 'header and host agree, token not', [mine, header('globex'), `Host: globex.${BASE}`], 403, 'TENANT_FORBIDDEN')
  ask(27, 'a user of acme as globex', [mine, header('globex')], 403, 'TENANT_FORBIDDEN')
  ask(27, 'a user of globex as acme', [as(tokens.globex), header('acme')], 403, 'TENANT_FORBIDDEN')
  ask(27, 'by host', [mine, `Host: globex.${BASE}`], 403, 'TENANT_FORBIDDEN')
  ask(27, 'writing', [mine, header('globex')], 403, 'TENANT_FORBIDDEN', { method: 'POST', body: '{}' })
  for (const [what, token] of tokens.forged) {
    ask(27, `token: ${what}`, [as(token)], 401, 'UNAUTHENTICATED')
    ask(27, `token: ${what}, with acme’s name`, [as(token), header('acme')], 401, 'UNAUTHENTICATED')
  }
  ask(27, 'two authorizations', [mine, as(tokens.globex)], 401, 'UNAUTHENTICATED')
  ask(27, 'the operator’s token', [as(tokens.operator), header('acme')], 401, 'UNAUTHENTICATED')
  ask(27, 'a role that may not', [as(tokens.globex)], 403, 'ROLE_FORBIDDEN', { method: 'POST', body: '{}' })

  const states = [
    ['suspended', tokens.suspended, 403, 'TENANT_SUSPENDED'],
    ['deleted', tokens.deleted, 404, 'TENANT_NOT_FOUND'],
    ['provisioning', tokens.provisioning, 503, 'TENANT_PROVISIONING'],
  ] as const
  for (const [id, token, status, code] of states) {
    const head = status === 503 ? { head: /^retry-after: \d+\r?$/im } : {}
    const refused = (what: string, lines: readonly string[], more: Partial<Request> = {}) =>
      rows.push({
        row: 29,
        what: `${id}, ${what}`,
        to: 'employee',
        request: { target: LIST, lines: [as(token), ...lines], ...more },
        status,
        code,
        ...head,
      })
    refused('by its token', [])
    refused('by its header', [header(id)])
    refused('by its host', [`Host: ${id}.${BASE}`])
    refused('by header and host', [header(id), `Host: ${id}.${BASE}`])
    refused('reading one', [], { target: `${LIST}/00000000-0000-4000-8000-000000000000` })
    refused('writing', [], { method: 'POST', body: '{}' })
    refused('deleting', [], { method: 'DELETE', target: `${LIST}/00000000-0000-4000-8000-000000000000` })
    ask(29, `${id}, without a token`, [header(id)], 401, 'UNAUTHENTICATED')
    ask(29, `${id}, by another’s user`, [mine, header(id)], 403, 'TENANT_FORBIDDEN')
    ask(29, `another, by a user of the ${id}`, [as(token), header('acme')], 403, 'TENANT_FORBIDDEN')
  }

  for (const query of [
    'tenant=globex',
    'tenantId=globex',
    'HRMS-Client-ID=globex',
    '__proto__[tenant]=globex',
    'limit=1&limit=2',
    'limit=-1',
    'limit=1e9',
    'after=%00',
  ]) {
    ask(30, `query ${query}`, [mine], 400, query === 'after=%00' ? 'CURSOR_INVALID' : 'REQUEST_INVALID', {
      target: `${LIST}?${query}`,
    })
  }
  for (const field of ['tenant', 'tenantId', 'tenant_id', 'id', 'createdAt', 'database', '__proto__', 'constructor']) {
    const body = `{"employeeNumber":"E-1","firstName":"A","lastName":"B","email":"a@b.co","hiredOn":"2024-01-01","${field}":"globex"}`
    ask(
      30,
      `body with ${field}`,
      [mine],
      400,
      field === '__proto__' ? 'FST_ERR_CTP_INVALID_JSON_BODY' : 'REQUEST_INVALID',
      { method: 'POST', body },
    )
  }
  for (const id of [
    '..',
    '../globex',
    "1' or '1'='1",
    '1',
    'null',
    '00000000-0000-0000-0000-00000000000g',
    '%00',
    '%0d%0aX: y',
  ]) {
    const target = `${LIST}/${encodeURIComponent(decodeURIComponent(id))}`
    ask(30, `id ${id}`, [mine], 400, 'REQUEST_INVALID', { target })
  }

  const write = (body: string, lines: readonly string[] = [mine]): [readonly string[], Partial<Request>] => [
    lines,
    { method: 'POST', body },
  ]
  const bodies: [string, string, number, string][] = [
    ['pollution', '{"__proto__":{"admin":true}}', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
    ['pollution by constructor', '{"constructor":{"prototype":{"admin":true}}}', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
    ['no JSON', '{', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
    ['a list', '[]', 400, 'REQUEST_INVALID'],
    ['null', 'null', 400, 'REQUEST_INVALID'],
    ['a number', '1e999', 400, 'REQUEST_INVALID'],
    ['deep', '['.repeat(20_000) + ']'.repeat(20_000), 400, 'REQUEST_INVALID'],
    [
      'NUL in a name',
      '{"employeeNumber":"E\\u0000","firstName":"A","lastName":"B","email":"a@b.co","hiredOn":"2024-01-01"}',
      400,
      'REQUEST_INVALID',
    ],
    [
      'half a character',
      '{"employeeNumber":"\\ud800","firstName":"A","lastName":"B","email":"a@b.co","hiredOn":"2024-01-01"}',
      400,
      'REQUEST_INVALID',
    ],
    ['1.1 MB', `{"firstName":"${'x'.repeat(1_100_000)}"}`, 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
  ]
  for (const [what, body, status, code] of bodies) {
    const [lines, more] = write(body)
    ask(51, what, lines, status, code, more)
  }
  for (const target of ['/api/employees/%zz', '/api/employees/%', '/%c0%ae%c0%ae/', '/api/employees/%ff'])
    ask(51, `path ${target}`, [mine], 400, 'FST_ERR_BAD_URL', { target })
  for (const target of [
    '/../../etc/passwd',
    '//evil.com/x',
    '/api/../api/employees',
    '/API/EMPLOYEES',
    '/.env',
    '/.git/config',
    '/api/tenants',
    '/metrics/..',
  ]) {
    ask(44, `path ${target}`, [mine], 404, 'ROUTE_NOT_FOUND', { target })
  }
  for (const [what, line] of [
    ['percent', '%s%n%x'],
    ['JSON', '","level":60,"msg":"forged'],
    ['ANSI', '%1b[2J'],
    ['long', 'x'.repeat(8000)],
  ]) {
    ask(44, `user agent and path, ${what}`, [`User-Agent: ${line}`], 404, 'ROUTE_NOT_FOUND', {
      target: `/${encodeURIComponent(line as string)}`,
    })
  }
  for (const method of ['PUT', 'TRACE', 'PROPFIND', 'CONNECTX']) {
    ask(
      46,
      `method ${method}`,
      [mine],
      method === 'CONNECTX' ? 400 : 404,
      method === 'CONNECTX' ? undefined : 'ROUTE_NOT_FOUND',
      { method },
    )
  }
  ask(
    48,
    'a WebSocket without a token',
    [header('acme'), 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
    401,
    'UNAUTHENTICATED',
  )
  ask(48, 'a WebSocket to another', [mine, header('globex'), 'Upgrade: websocket'], 403, 'TENANT_FORBIDDEN')

  const operator = as(tokens.operator)
  const tenants = '/api/tenants'
  const post = (body: object, lines: readonly string[] = [operator]): Request => ({
    method: 'POST',
    target: tenants,
    lines,
    body: JSON.stringify(body),
  })
  for (const [what, lines] of [
    ['no token', []],
    ['a user’s token', [mine]],
    ['half the token', [as(tokens.operator.slice(0, 10))]],
    ['the token twice', [as(`${tokens.operator},${tokens.operator}`)]],
    ['another scheme', [`Authorization: Basic ${tokens.operator}`]],
    ['in a cookie', [`Cookie: token=${tokens.operator}`]],
    ['as a tenant', [header('acme')]],
  ] as const) {
    for (const target of [tenants, `${tenants}/acme`, `${tenants}?limit=1`])
      admin(46, `${what}: ${target}`, { target, lines }, 401, 'UNAUTHENTICATED')
    admin(46, `${what}: create`, post({ id: 'evil', name: 'Evil' }, lines), 401, 'UNAUTHENTICATED')
    admin(46, `${what}: delete`, { method: 'DELETE', target: `${tenants}/acme`, lines }, 401, 'UNAUTHENTICATED')
    admin(
      46,
      `${what}: first user`,
      {
        method: 'POST',
        target: `${tenants}/acme/users`,
        lines,
        body: '{"email":"e@v.il","password":"a long password"}',
      },
      401,
      'UNAUTHENTICATED',
    )
  }
  admin(46, 'the token in the query', { target: `${tenants}?token=${tokens.operator}` }, 401, 'UNAUTHENTICATED')
  const stream = `${tenants}/events`
  const listen = (what: string, lines: readonly string[], status: number, code: string, target = stream) =>
    admin(47, what, { target, lines: ['Accept: text/event-stream', ...lines] }, status, code)
  listen('a stream without a token', [], 401, 'UNAUTHENTICATED')
  for (const [what, token] of [
    ['an admin of acme', tokens.acme],
    ['a user of globex', tokens.globex],
    ['half the operator', tokens.operator.slice(0, -1)],
    ['more than the operator', `${tokens.operator}x`],
  ] as const) {
    listen(`a stream for ${what}`, [as(token)], 401, 'UNAUTHENTICATED')
    listen(`a stream of acme for ${what}`, [as(token)], 401, 'UNAUTHENTICATED', `${stream}?tenant=acme`)
    listen(`a stream for ${what}, of a tenant by header`, [as(token), header('acme')], 401, 'UNAUTHENTICATED')
    listen(`a stream for ${what}, cross-origin`, [as(token), 'Origin: https://evil.example'], 401, 'UNAUTHENTICATED')
  }
  for (const parameter of ['token', 'access_token', 'authorization', 'admin_token', 'key', 'jwt']) {
    const target = `${stream}?${parameter}=${tokens.operator}`
    listen(`the token in the query as ${parameter}`, [], 401, 'UNAUTHENTICATED', target)
    listen(`the token there too as ${parameter}`, [operator], 400, 'REQUEST_INVALID', target)
  }
  for (const line of [
    `Cookie: token=${tokens.operator}`,
    `X-Admin-Token: ${tokens.operator}`,
    `Authorization: Basic ${tokens.operator}`,
  ]) {
    listen(`a stream with ${line.split(' ')[0]}`, [line], 401, 'UNAUTHENTICATED')
    listen(`a stream with ${line.split(' ')[0]}, cross-origin`, [line, 'Origin: null'], 401, 'UNAUTHENTICATED')
  }
  for (const id of ['ACME', '../acme', 'acme,globex', '*', "acme' or '1'='1", 'acme%00']) {
    listen(`a stream of ${id}`, [operator], 400, 'TENANT_ID_INVALID', `${stream}?tenant=${encodeURIComponent(id)}`)
  }
  for (const place of ['x', '-1', '1e9', '0x10', "1' or '1'='1", '9'.repeat(19), '1;2']) {
    listen(`a place ${place}`, [operator, `Last-Event-ID: ${place}`], 400, 'CURSOR_INVALID')
  }
  for (const [method, status, code] of [
    ['POST', 404, 'ROUTE_NOT_FOUND'],
    ['PUT', 404, 'ROUTE_NOT_FOUND'],
    ['DELETE', 404, 'TENANT_NOT_FOUND'],
    ['PATCH', 400, 'REQUEST_INVALID'],
  ] as const) {
    admin(47, `${method} a stream`, { method, target: stream, lines: [operator], body: '{}' }, status, code)
  }
  for (const field of [
    'status',
    'version',
    'dbName',
    'lifecycle',
    'provisioned',
    'actor',
    'certificate',
    'services',
    'is_active',
    'host',
  ]) {
    admin(46, `mass assignment of ${field}`, post({ id: 'evil', name: 'Evil', [field]: 'x' }), 400, 'REQUEST_INVALID')
  }
  for (const field of ['role', 'status', 'id', 'roles']) {
    admin(
      46,
      `admin with ${field}`,
      post({ id: 'evil', name: 'Evil', admin: { email: 'a@b.co', password: 'a long password', [field]: 'x' } }),
      400,
      'REQUEST_INVALID',
    )
  }
  for (const id of [
    'postgres',
    'template0',
    'template1',
    'admin',
    'www',
    'api',
    'internal',
    'system',
    'health',
    'metrics',
    'identity',
    'employee',
    'core',
  ]) {
    admin(12, `create ${id}`, post({ id, name: 'Evil' }), 422, 'TENANT_ID_RESERVED')
  }
  for (const id of ['a'.repeat(41), 'A', 'x_y', '-a', 'a--b', '..', "a'", 'xn--a', '', 'a b']) {
    admin(13, `create ${short(id)}`, post({ id, name: 'Evil' }), 400, 'TENANT_ID_INVALID')
    const target = `${tenants}/${encodeURIComponent(id || '_')}`
    if (id !== '..') admin(13, `read ${short(id)}`, { target, lines: [operator] }, 400, 'TENANT_ID_INVALID')
  }
  for (const domain of [
    '127.0.0.1',
    'localhost',
    'ACME.com',
    'a..com',
    'xn--',
    'acme.com.',
    'http://a.com',
    'a.com/x',
    '-a.com',
    'a.com:80',
    '*.com',
  ]) {
    admin(22, `domain ${domain}`, post({ id: 'evil', name: 'Evil', domain }), 400, 'REQUEST_INVALID')
  }
  return rows
}
