// Counts the steps of a regular expression: a backtracking matcher for the syntax that the product uses, which
// counts every attempt at a part of the pattern. A count does not depend on the machine, as a time does. Invariant:
// unknown syntax is an error and never counted as nothing. A look-behind counts as one attempt that holds.

type Node =
  | { kind: 'char'; fits: (char: string) => boolean }
  | { kind: 'sequence' | 'choice'; of: Node[] }
  | { kind: 'loop'; of: Node; min: number; max: number; lazy: boolean }
  | { kind: 'look'; of: Node; negative: boolean }
  | { kind: 'place'; holds: (text: string, at: number) => boolean }

const ALPHABET = [...'a0 -._@"\\/:,;=+\'([{<>A~!\t\n\0é', '\u2028', '\ud800', '\u202e', '|', '*', '%', '#']

function parse(source: string, flags: string): Node {
  let at = 0
  const charFlags = flags.replace(/[^ius]/g, '')

  const fail = (): never => {
    throw new Error(`the step counter cannot read ${source} at ${at}`)
  }
  const char = (text: string): Node => {
    const one = new RegExp(`^(?:${text})$`, charFlags)
    const seen = new Map<string, boolean>()
    return {
      kind: 'char',
      fits(given) {
        let fits = seen.get(given)
        if (fits === undefined) {
          fits = one.test(given)
          seen.set(given, fits)
        }
        return fits
      },
    }
  }

  function choice(): Node {
    const of = [sequence()]
    while (source[at] === '|') {
      at++
      of.push(sequence())
    }
    return of.length === 1 ? (of[0] as Node) : { kind: 'choice', of }
  }

  function sequence(): Node {
    const of: Node[] = []
    while (at < source.length && source[at] !== '|' && source[at] !== ')') of.push(quantified(atom()))
    return { kind: 'sequence', of }
  }

  function quantified(of: Node): Node {
    const [found, simple, low, comma, high] = /^(?:([*+?])|\{(\d+)(,)?(\d+)?\})/.exec(source.slice(at)) ?? []
    if (found === undefined) return of
    at += found.length
    const lazy = source[at] === '?'
    if (lazy) at++
    const min = simple ? (simple === '+' ? 1 : 0) : Number(low)
    const max = simple ? (simple === '?' ? 1 : Infinity) : high ? Number(high) : comma ? Infinity : min
    return { kind: 'loop', of, min, max, lazy }
  }

  function atom(): Node {
    const rest = source.slice(at)
    const [group] = /^\((?:\?(?:[:=!]|<[=!]|<\w+>))?/.exec(rest) ?? []
    if (group !== undefined) {
      at += group.length
      const of = choice()
      if (source[at++] !== ')') fail()
      if (group === '(?<=' || group === '(?<!') return { kind: 'place', holds: () => true }
      if (group === '(?=' || group === '(?!') return { kind: 'look', of, negative: group === '(?!' }
      return of
    }
    const inWord = (text: string, place: number) => /\w/.test(text[place] ?? ' ')
    const [place] = /^(?:\^|\$|\\[bB])/.exec(rest) ?? []
    if (place !== undefined) {
      at += place.length
      const line = flags.includes('m')
      if (place === '^') return { kind: 'place', holds: (text, n) => n === 0 || (line && text[n - 1] === '\n') }
      if (place === '$') return { kind: 'place', holds: (text, n) => n === text.length || (line && text[n] === '\n') }
      return { kind: 'place', holds: (text, n) => (inWord(text, n - 1) !== inWord(text, n)) === (place === '\\b') }
    }
    if (/^(?:[*+?{})]|\\[1-9k])/.test(rest)) return fail()
    const [single] =
      /^(?:\[(?:\\.|[^\]\\])*\]|\\p\{\w+\}|\\P\{\w+\}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|.)/su.exec(rest) ?? fail()
    at += single.length
    return char(single)
  }

  const whole = choice()
  if (at < source.length) fail()
  return whole
}

class Steps {
  count = 0
  readonly text: string
  readonly limit: number

  constructor(text: string, limit: number) {
    this.text = text
    this.limit = limit
  }

  match(node: Node, at: number, next: (at: number) => boolean): boolean {
    if (++this.count > this.limit) throw new RangeError('more steps than allowed')
    switch (node.kind) {
      case 'char':
        return at < this.text.length && node.fits(this.text[at] as string) && next(at + 1)
      case 'place':
        return node.holds(this.text, at) && next(at)
      case 'look':
        return this.match(node.of, at, () => true) !== node.negative && next(at)
      case 'choice':
        return node.of.some(one => this.match(one, at, next))
      case 'sequence':
        return this.#sequence(node.of, 0, at, next)
      case 'loop':
        return plainChar(node.of) ? this.#run(node, at, next) : this.#loop(node, 0, at, next)
    }
  }

  #sequence(of: Node[], from: number, at: number, next: (at: number) => boolean): boolean {
    const one = of[from]
    return one === undefined ? next(at) : this.match(one, at, end => this.#sequence(of, from + 1, end, next))
  }

  /** A loop over one character needs no recursion. */
  #run({ of, min, max, lazy }: Node & { kind: 'loop' }, at: number, next: (at: number) => boolean): boolean {
    const fits = (end: number) => end - at < max && this.match(of, end, () => true)
    if (lazy) {
      for (let end = at; ; end++) {
        if (end - at >= min && next(end)) return true
        if (!fits(end)) return false
      }
    }
    let end = at
    while (fits(end)) end++
    for (; end - at >= min; end--) {
      if (++this.count > this.limit) throw new RangeError('more steps than allowed')
      if (next(end)) return true
    }
    return false
  }

  #loop(node: Node & { kind: 'loop' }, done: number, at: number, next: (at: number) => boolean): boolean {
    const more = () =>
      done < node.max &&
      this.match(node.of, at, end => (end > at || done < node.min) && this.#loop(node, done + 1, end, next))
    const leave = () => done >= node.min && next(at)
    return node.lazy ? leave() || more() : more() || leave()
  }
}

const plainChar = (node: Node): boolean =>
  node.kind === 'char' || (node.kind === 'sequence' && node.of.length === 1 && plainChar(node.of[0] as Node))

/** A short text that a part of a pattern matches, made of the `pick`-th character that each class allows. */
function witness(node: Node, pick: number): string {
  switch (node.kind) {
    case 'char': {
      const fitting = ALPHABET.filter(node.fits)
      const rest =
        fitting.length > 0 ? fitting : [...Array(256).keys()].map(n => String.fromCharCode(n)).filter(node.fits)
      return rest[pick % rest.length] ?? ''
    }
    case 'sequence':
      return node.of.map(one => witness(one, pick)).join('')
    case 'choice':
      return witness(node.of[pick % node.of.length] as Node, pick)
    case 'loop':
      return witness(node.of, pick).repeat(Math.max(1, node.min))
    default:
      return ''
  }
}

/** Texts that repeat the loop of a pattern, behind a text that leads to that loop. */
function hostile(root: Node, picks: number): { prefix: string; pump: string }[] {
  const found: { prefix: string; pump: string }[] = []
  const walk = (node: Node, prefix: string, pick: number): void => {
    if (node.kind === 'loop') {
      const pump = witness(node.of, pick)
      if (node.max === Infinity && pump !== '') found.push({ prefix, pump })
      walk(node.of, prefix, pick)
    } else if (node.kind === 'sequence') {
      let before = prefix
      for (const one of node.of) {
        walk(one, before, pick)
        before += witness(one, pick)
      }
    } else if (node.kind === 'choice') for (const one of node.of) walk(one, prefix, pick)
    else if (node.kind === 'look') walk(node.of, prefix, pick)
  }
  for (let pick = 0; pick < picks; pick++) walk(root, '', pick)
  for (const pump of ALPHABET) found.push({ prefix: '', pump })
  return [...new Map(found.map(one => [JSON.stringify(one), one])).values()]
}

function stepsOf(root: Node, text: string, all: boolean, limit: number): number {
  const steps = new Steps(text, limit)
  for (let from = 0; from <= text.length; from++) {
    let end = -1
    const found = steps.match(root, from, at => {
      end = at
      return true
    })
    if (!found) continue
    if (!all) break
    from = Math.max(from, end - 1)
  }
  return steps.count
}

const SHORT = 60
const TIMES = 6
/** Steps for the short text, beyond which the work is exponential. */
const MOST = 50_000

/** The text with which the work grows faster than its length, described; null for a pattern whose work is linear. */
export function findSuperlinear(source: string, flags: string): string | null {
  const root = parse(source, flags)
  for (const { prefix, pump } of hostile(root, 4)) {
    for (const suffix of ['', '\0', '!']) {
      const text = (length: number) => prefix + pump.repeat(Math.ceil(length / pump.length)) + suffix
      const all = flags.includes('g')
      try {
        const few = stepsOf(root, text(SHORT), all, MOST)
        // Linear work is TIMES as much; work that grows by the square is TIMES as much again.
        stepsOf(root, text(SHORT * TIMES), all, few * TIMES * 2 + 2_000)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        return `${JSON.stringify(prefix)} + ${JSON.stringify(pump)} repeated + ${JSON.stringify(suffix)}`
      }
    }
  }
  return null
}
