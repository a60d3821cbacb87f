import t from 'tap'
import { parsePrefer } from '../../../services/identity/prefer.js'

const none = { wait: 0, respondAsync: false, applied: null }

t.test('no header, no preference', async t => {
  t.same(parsePrefer(undefined), none)
  t.same(parsePrefer(''), none)
})

t.test('wait is in whole seconds', async t => {
  t.same(parsePrefer('wait=10'), { wait: 10, respondAsync: false, applied: 'wait=10' })
  t.same(parsePrefer('Wait = "10"'), { wait: 10, respondAsync: false, applied: 'wait=10' })
})

t.test('wait has an upper bound, and the applied value is answered', async t => {
  t.same(parsePrefer('wait=600'), { wait: 60, respondAsync: false, applied: 'wait=60' })
})

t.test('preferences come together or in several headers, with parameters', async t => {
  const both = { wait: 5, respondAsync: true, applied: 'respond-async, wait=5' }
  t.same(parsePrefer('respond-async, wait=5'), both)
  t.same(parsePrefer(['wait=5; x=y', 'respond-async']), both)
})

t.test('the first of two counts', async t => {
  t.equal(parsePrefer('wait=5, wait=50').wait, 5)
})

t.test('a malformed or unknown preference is ignored', async t => {
  for (const header of ['wait', 'wait=', 'wait=-1', 'wait=1.5', 'wait=1e3', 'wait=ten', 'return=minimal', ',,=']) {
    t.same(parsePrefer(header), none, header)
  }
})
