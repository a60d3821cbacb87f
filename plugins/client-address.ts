// The address by which a client is counted. A subscriber of IPv6 holds a whole /64, so all of it counts as one address.
import ipaddr from 'ipaddr.js'

/** @returns an IPv4 address as it is, a mapped one as IPv4, an IPv6 address as the first of its /64; other text unchanged */
export function subscriberAddress(ip: string): string {
  if (!ip.includes(':') || !ipaddr.isValid(ip)) return ip
  const address = ipaddr.process(ip)
  if (address.kind() === 'ipv4') return address.toString()
  const [a = 0, b = 0, c = 0, d = 0] = (address as ipaddr.IPv6).parts
  return new ipaddr.IPv6([a, b, c, d, 0, 0, 0, 0]).toRFC5952String()
}
