// Which pods may connect to which, by NetworkPolicies: the part of their meaning that deploy/kubernetes uses.
// Invariant: a path is allowed when a policy of its source allows the way out and one of its target the way in; a pod
// that no policy selects for a direction is open in it. A pod outside the namespace is bound by no policy.

export interface Pod {
  name: string
  /** None: the namespace of the policies. */
  namespace?: string
  labels: Record<string, string>
  ports: { name: string; containerPort: number }[]
}
interface Selector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: string; values?: string[] }[]
}
interface Peer {
  podSelector?: Selector
  namespaceSelector?: Selector
}
interface Rule {
  from?: Peer[]
  to?: Peer[]
  ports?: { port: number | string }[]
}
export interface NetworkPolicy {
  spec: { podSelector: Selector; policyTypes: string[]; ingress?: Rule[]; egress?: Rule[] }
}

function selects({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Record<string, string>): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      if (operator === 'Exists') return key in labels
      if (operator === 'In') return values.includes(labels[key] ?? '')
      throw new Error(`${operator} is not known here`)
    })
  )
}

function peerMatches({ podSelector, namespaceSelector }: Peer, { namespace, labels }: Pod): boolean {
  const there = namespace ? { 'kubernetes.io/metadata.name': namespace } : undefined
  if (namespaceSelector ? !there || !selects(namespaceSelector, there) : there) return false
  return podSelector === undefined || selects(podSelector, labels)
}

function allows(
  policies: NetworkPolicy[],
  type: 'Ingress' | 'Egress',
  pod: Pod,
  other: Pod,
  target: Pod,
  port: number,
) {
  if (pod.namespace) return true
  const bound = policies.filter(({ spec }) => spec.policyTypes.includes(type) && selects(spec.podSelector, pod.labels))
  if (bound.length === 0) return true
  return bound.some(({ spec }) =>
    (type === 'Ingress' ? spec.ingress : spec.egress)?.some(({ from, to, ports }) => {
      const peers = type === 'Ingress' ? from : to
      const number = (named: number | string) =>
        typeof named === 'number' ? named : target.ports.find(({ name }) => name === named)?.containerPort
      return (
        (peers === undefined || peers.some(peer => peerMatches(peer, other))) &&
        (ports === undefined || ports.some(one => number(one.port) === port))
      )
    }),
  )
}

/** @returns every path like `core-service -> core-db:5432`, sorted, without those between pods outside */
export function allowedPaths(policies: NetworkPolicy[], inside: Pod[], outside: Pod[]): string[] {
  const paths: string[] = []
  for (const source of [...inside, ...outside]) {
    for (const target of [...inside, ...outside]) {
      if (source === target || (source.namespace && target.namespace)) continue
      for (const { containerPort } of target.ports) {
        if (
          allows(policies, 'Egress', source, target, target, containerPort) &&
          allows(policies, 'Ingress', target, source, target, containerPort)
        )
          paths.push(`${source.name} -> ${target.name}:${containerPort}`)
      }
    }
  }
  return paths.sort()
}
