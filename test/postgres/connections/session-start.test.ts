// How a session begins without TLS: the messages are ours, however the network divides them, a server that does not know the
// password is not believed, and types of a database's own are asked for only where one was met.
import t from 'tap'
import { createArrayTypes } from '../../../postgres/connections/array-types.js'
import type { Connection } from '../../../postgres/connections/connection.js'
import { deferConnection } from '../../../postgres/connections/deferred-connection.js'
import { createBuilder, type DriverQuery } from '../../../postgres/connections/driver.js'
import { openConnection } from '../../../postgres/connections/open-connection.js'
import { createScram } from '../../../postgres/connections/scram.js'
import type { Target } from '../../../postgres/connections/target.js'
import { until } from '../../until.js'
import { codeOf, nothingUncaught, stand } from '../stand.js'
import { recordingProxy } from './recording-proxy.js'

t.test('the start of a session', async t => {
  nothingUncaught(t)
  const { databases, server, look } = await stand(t)
  const [database] = (await databases(1)) as [string]
  const builder = createBuilder()
  const { host, port, user, password } = server
  const open = (more: Partial<Target> = {}) =>
    openConnection(
      { host, port, user, password, database, tls: false, applicationName: 'start', statementTimeout: 5_000, ...more },
      5_000,
    )
  const on = (connection: Connection, text: string): Promise<unknown> => {
    const query = builder.unsafe(text, [], { prepare: true, simple: false } as object) as unknown as DriverQuery
    query.handler = connection.execute
    return query.execute()
  }

  await t.test('is the same when every byte of the server comes by itself', async t => {
    const bytewise = await recordingProxy(t, server, {
      change: bytes => [...bytes].map(byte => Buffer.from([byte])),
    })
    const connection = open({ host: bytewise.host, port: bytewise.port })
    await connection.opened
    t.equal(connection.standby, false)
    t.same(
      await on(
        connection,
        `select current_setting('application_name') as name, current_setting('statement_timeout') as ms,
          current_setting('client_encoding') as encoding, current_user::text as login`,
      ),
      [{ name: 'start', ms: '5s', encoding: 'UTF8', login: user }],
    )
    t.equal(bytewise.sent.filter(part => part.includes('application_name\0')).length, 1, 'one startup message')
    await connection.close()
  })

  await t.test('is of a session that may rest, whatever the server or the role allows', async t => {
    await look.unsafe(`alter role ${user} set idle_session_timeout = '10ms'`)
    const connection = open()
    await connection.opened
    await look.unsafe(`alter role ${user} reset idle_session_timeout`)
    t.same(await on(connection, `select current_setting('idle_session_timeout') as ms`), [{ ms: '0' }])
    // One that has the limit, and began later, is ended.
    const limited = await look.reserve()
    const [session] = await limited<{ pid: number }[]>`
      select pg_backend_pid() as pid, set_config('idle_session_timeout', '10ms', false)`
    await until('the limited one is ended', async () => {
      const found = await look`select from pg_stat_activity where pid = ${session?.pid ?? 0}`
      return found.length === 0
    })
    t.same(await on(connection, 'select 1 as one'), [{ one: 1 }])
    await connection.close()
  })

  await t.test('has the form of bytes that the driver reads, whatever the role has', async t => {
    await look.unsafe(`alter role ${user} set bytea_output = 'escape'`)
    const connection = open()
    await connection.opened
    await look.unsafe(`alter role ${user} reset bytea_output`)
    const read = async () => Array.from((await on(connection, `select bytea 'abcdef' as bytes`)) as object[])
    t.same(await read(), [{ bytes: Buffer.from('abcdef') }])
    await on(connection, 'discard all')
    t.same(await read(), [{ bytes: Buffer.from('abcdef') }], 'after a reset too')
    await connection.close()
  })

  await t.test('is read committed where it is for the package’s own statements, whatever the role has', async t => {
    await look.unsafe(`alter role ${user} set default_transaction_isolation = 'serializable'`)
    const connections = [open({ isolation: 'read committed' }), open()]
    for (const { opened } of connections) await opened
    await look.unsafe(`alter role ${user} reset default_transaction_isolation`)
    const levels = await Promise.all(connections.map(one => on(one, 'show default_transaction_isolation')))
    t.same(
      JSON.stringify(levels.flat()),
      JSON.stringify(['read committed', 'serializable'].map(level => ({ default_transaction_isolation: level }))),
    )
    for (const one of connections) await one.close()
  })

  await t.test('leaves a connection that was searched for, which knows of its transaction', async t => {
    const inner = open()
    const connection = deferConnection({ found: Promise.resolve(inner), closed: inner.closed, abandon() {} })
    await connection.opened
    for (const is of [true, false]) {
      connection.transacting = is
      t.same([connection.transacting, inner.transacting], [is, is], 'its statements are pipelined through a pooler')
    }
    await connection.close()
  })

  await t.test('ends where the server does not prove that it knows the password', async t => {
    const impostor = await recordingProxy(t, server, {
      change: bytes => {
        const at = bytes.indexOf('v=')
        if (at > 0) bytes.writeUInt8(bytes[at + 5] === 0x41 ? 0x42 : 0x41, at + 5)
        return [bytes]
      },
    })
    const connection = open({ host: impostor.host, port: impostor.port })
    t.equal(await codeOf(connection.opened), 'SASL_SIGNATURE_MISMATCH')
    await connection.closed
    t.notOk(impostor.sent.join('').includes('select'), 'no statement was sent')
  })

  for (const [what, after] of [
    ['once it has the client’s', 12],
    ['where it owes the challenge', 11],
    ['where it has the client’s first message alone', 10],
  ] as const) {
    await t.test(`ends where the server skips its proof ${what}`, async t => {
      const impostor = await recordingProxy(t, server, { change: inMessages(skippingFrom(after)) })
      const connection = open({ host: impostor.host, port: impostor.port })
      t.equal(await codeOf(connection.opened), 'SASL_SIGNATURE_MISMATCH')
      await connection.close()
      t.match(connection.lost, { message: /has not proved that it knows the password/ })
      t.notOk(impostor.sent.join('').includes('select'), 'no statement was sent')
    })
  }

  await t.test('ends where the server sends a message without its kind', async t => {
    for (const length of [0, 4, 6]) {
      const broken = await recordingProxy(t, server, { change: () => [Buffer.from([0x52, 0, 0, 0, length, 0, 0])] })
      const connection = open({ host: broken.host, port: broken.port })
      t.equal(await codeOf(connection.opened), '08P01', `of ${length} bytes`)
      await connection.closed
    }
  })

  await t.test('knows a password that was set anew', async t => {
    await look.unsafe(`create role changing login password 'first'`)
    for (const secret of ['first', 'second', 'third']) {
      await look.unsafe(`alter role changing password '${secret}'`)
      const [right, wrong] = [open({ user: 'changing', password: secret }), open({ user: 'changing', password: 'no' })]
      await right.opened
      t.equal(await codeOf(wrong.opened), '28P01', secret)
      await right.close()
      await wrong.closed
    }
  })

  await t.test('leaves other ways to log in to the driver', async t => {
    await look.unsafe(`set password_encryption = 'md5'; create role by_md5 login password 'plain'`)
    const connection = open({ user: 'by_md5', password: 'plain' })
    // The server of the tests takes nothing but SCRAM: it refuses this role, and says so.
    t.equal(await codeOf(connection.opened), '28P01')
    await connection.closed
  })

  await t.test('asks for types of the database only when a session has met one', async t => {
    await look.unsafe(`create type mood as enum ('calm')`)
    const between = await recordingProxy(t, server)
    const arrayTypes = createArrayTypes()
    const asked = () => between.sent.join('').split('typarray >').length - 1
    const next = async () => {
      const connection = open({ host: between.host, port: between.port, database: 'postgres', arrayTypes })
      await connection.opened
      await on(connection, 'select 1 as n')
      return connection
    }
    const first = await next()
    t.equal(asked(), 1, 'built-in types, once')
    const second = await next()
    t.equal(asked(), 1)
    for (const connection of [first, second]) {
      t.same(await on(connection, `select array['calm', null]::mood[] as moods`), [{ moods: ['calm', null] }])
      await on(connection, `select 'calm'::mood as mood`)
    }
    t.equal(asked(), 2, 'by the one that did not know')
    const third = await next()
    t.equal(asked(), 3, 'at its start')
    for (const connection of [first, second, third]) await connection.close()
  })
})

/** The server's bytes as whole messages, however they came. */
function inMessages(change: (message: Buffer) => Buffer[]): (bytes: Buffer) => Buffer[] {
  let rest = Buffer.alloc(0)
  return bytes => {
    rest = Buffer.concat([rest, bytes])
    const changed: Buffer[] = []
    while (rest.length > 4 && rest.length > rest.readUInt32BE(1)) {
      const end = 1 + rest.readUInt32BE(1)
      changed.push(...change(rest.subarray(0, end)))
      rest = rest.subarray(end)
    }
    return changed
  }
}

const LOGGED_IN = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0])

/** In place of a request of this kind, "logged in"; behind the request for SCRAM, as without one the server asks for nothing. */
const skippingFrom =
  (kind: 10 | 11 | 12) =>
  (message: Buffer): Buffer[] => {
    if (message[0] !== 0x52 || message.readInt32BE(5) !== kind) return [message]
    return kind === 10 ? [message, LOGGED_IN] : [LOGGED_IN]
  }

t.test('an answer to another nonce is none', async t => {
  const scram = createScram('secret', 'ours')
  t.equal(scram.first, 'n,,n=,r=ours')
  for (const challenge of ['r=theirs,s=QUJD,i=1', 'r=ours,s=QUJD,i=1', 'r=oursmore,s=QUJD,i=0', 'nonsense']) {
    t.throws(() => scram.answer(challenge), { message: 'the server did not answer our nonce' }, challenge)
  }
  t.notOk(scram.proves('v='))
})
