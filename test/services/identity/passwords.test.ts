// In a process of its own: it measures processor time.
import t from 'tap'
import { COST, createPasswords } from '../../../services/identity/passwords.js'

const cheap = { ln: 4, r: 8, p: 1 }
const password = 'correct horse battery'
const caller = { address: '192.0.2.1', tenant: 'acme' }

t.test('a password is right or wrong', async t => {
  const passwords = createPasswords(cheap)
  const hash = await passwords.hash(password, caller)
  t.match(hash, /^\$scrypt\$ln=4,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  t.not(await passwords.hash(password, caller), hash, 'no two are alike')
  t.equal(await passwords.check(password, hash, caller), 'right')
  for (const no of ['', password.toUpperCase(), `${password} `, 'x'.repeat(200)]) {
    t.equal(await passwords.check(no, hash, caller), 'wrong', no)
  }
})

t.test('in any Unicode composition', async t => {
  const passwords = createPasswords(cheap)
  const hash = await passwords.hash('Zo\u00eb drinks caf\u00e9', caller)
  t.equal(await passwords.check('Zoe\u0308 drinks cafe\u0301', hash, caller), 'right')
})

t.test('an unknown user has no password', async t => {
  t.equal(await createPasswords(cheap).check(password, undefined, caller), 'wrong')
})

t.test('a hash of other parameters is right and outdated', async t => {
  const hash = await createPasswords(cheap).hash(password, caller)
  for (const cost of [
    { ...cheap, ln: 5 },
    { ...cheap, r: 4 },
    { ...cheap, p: 2 },
  ]) {
    t.equal(await createPasswords(cost).check(password, hash, caller), 'outdated')
    t.equal(await createPasswords(cost).check('wrong', hash, caller), 'wrong')
  }
})

t.test('a malformed hash is an error, not a wrong password', async t => {
  await t.rejects(createPasswords(cheap).check(password, 'plain text', caller), { message: /malformed/ })
})

t.test('a flood is refused before it takes the memory, and accepted calls are served', async t => {
  const passwords = createPasswords(cheap)
  const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => passwords.hash(password, caller)))
  const served = outcomes.filter(({ status }) => status === 'fulfilled').length
  t.equal(served, 52)
  for (const outcome of outcomes) if (outcome.status === 'rejected') t.equal(outcome.reason.code, 'OVERLOADED')
  t.ok(await passwords.hash(password, caller), 'and then it continues')
})

t.test('a check for an unknown user takes the same work as for a known one', async t => {
  const passwords = createPasswords(COST)
  const hash = await passwords.hash(password, caller)
  const times = { known: [] as number[], unknown: [] as number[] }
  for (let round = 0; round < 7; round++) {
    for (const who of ['known', 'unknown'] as const) {
      const { user } = process.cpuUsage()
      await passwords.check('wrong', who === 'known' ? hash : undefined, caller)
      times[who].push(process.cpuUsage().user - user)
    }
  }
  const median = (of: number[]) => of.sort((a, b) => a - b)[3] as number
  const ratio = median(times.unknown) / median(times.known)
  t.ok(ratio > 0.5 && ratio < 2, `work of unknown / known user: ${ratio.toFixed(2)}`)
})
