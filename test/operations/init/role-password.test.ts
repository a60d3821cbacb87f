import { createHash } from 'node:crypto'
import t from 'tap'
import { randomRolePassword, verifierOf } from '../../../operations/init/role-password.js'

const iterationsOf = (password: string): string => verifierOf(password).split(/[$:]/)[1] as string

t.test('a random password of a role has one iteration', async t => {
  t.equal(iterationsOf(randomRolePassword()), '1')
  t.equal(iterationsOf('4f1c8a0b7d2e9635c0ffee1234567890abcdef0123456789'), '1')
})

t.test('a password that may have been chosen has the server’s number', async t => {
  const digest = (name: string) => createHash(name).update('a word').digest('hex')
  const chosen = ['correct horse battery staple', 'a'.repeat(48), 'abcabc12'.repeat(6), '']
  for (const password of [...chosen, digest('md5'), digest('sha1'), digest('sha256'), digest('sha512')]) {
    t.equal(iterationsOf(password), '4096', password)
  }
})
