// How addresses of clients are counted.
import t from 'tap'
import { subscriberAddress } from '../../plugins/client-address.js'

t.test('an address counts as its subscriber', async t => {
  for (const [ip, counted] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8::1', '2001:db8::'],
    ['2001:DB8:0:0:ffff:ffff:ffff:ffff', '2001:db8::'],
    ['2001:db8:0:1::1', '2001:db8:0:1::'],
    ['::1', '::'],
    ['fe80::1%eth0', 'fe80::'],
    ['no address', 'no address'],
    ['', ''],
  ] as const) {
    t.equal(subscriberAddress(ip), counted, ip)
  }
})
