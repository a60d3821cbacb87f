// PostgreSQL's lexical rules, as far as a statement's shape needs them: splits a text into statements of tokens, without
// comments. Pure, and linear in the length of the text. Invariant: text in a string, a comment or a body between dollars is
// never taken for a word of the statement.

/** `escaped`: a name in `U&"..."`, whose escapes are not read. `body`: a string between dollars. */
export type TokenKind = 'word' | 'quoted' | 'escaped' | 'string' | 'body' | 'other'

export interface Token {
  readonly kind: TokenKind
  /** A word in lower case, a quoted name without its quotes, the inside of a body; of a string the whole. */
  readonly text: string
  /** Where it begins. */
  readonly at: number
}

const space = /(?:[ \t\n\r\f\v]+|--[^\n\r]*)+/y
const word = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy
const dollar = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy
const parameterOrNumber = /\$\d+|\d[\d.]*/y
const commentEdge = /\/\*|\*\//g

/** The statements of a text; empty ones are left out. */
export const statementsOf = (text: string): Token[][] => divide(text).map(({ tokens }) => tokens)

/** The same, each as in the text, without the semicolon behind it. */
export const statementTextsOf = (text: string): string[] => divide(text).map(({ from, to }) => text.slice(from, to))

function divide(text: string): { tokens: Token[]; from: number; to: number }[] {
  const statements: { tokens: Token[]; from: number; to: number }[] = []
  let current: Token[] = []
  let from = 0
  let parentheses = 0
  const body = createBodyDepth()
  const place: Place = { at: () => 0 }
  const ends = (to: number): void => {
    if (current.length > 0) statements.push({ tokens: current, from, to })
    current = []
  }
  for (const token of tokensOf(text, place)) {
    if (token.kind === 'other') {
      if (token.text === '(') parentheses++
      else if (token.text === ')') parentheses--
      else if (token.text === ';' && parentheses <= 0 && body.depth === 0) {
        ends(place.at() - 1)
        from = place.at()
        parentheses = 0
        continue
      }
    }
    current.push(token)
    if (token.kind === 'word' && parentheses <= 0) body.word(current)
  }
  ends(text.length)
  return statements
}

/** The position behind the token that was read last. */
interface Place {
  at: () => number
}

/**
 * How deep in the body of `create function … begin atomic … end`, whose semicolons do not end the statement. Counted as
 * `psql` does.
 */
function createBodyDepth(): { readonly depth: number; word(statement: readonly Token[]): void } {
  let depth = 0
  return {
    get depth() {
      return depth
    },
    word(statement) {
      const last = statement.at(-1)?.text
      if (last === 'end') depth = Math.max(0, depth - 1)
      else if (last === 'case' && depth > 0) depth++
      else if (last === 'begin' && makesRoutine(statement)) depth++
    },
  }
}

/** `create [or replace] function | procedure` */
export function makesRoutine(statement: readonly Token[]): boolean {
  if (statement[0]?.text !== 'create') return false
  const what = statement[statement[1]?.text === 'or' ? 3 : 1]?.text
  return what === 'function' || what === 'procedure'
}

function* tokensOf(text: string, place: Place): Generator<Token> {
  let at = 0
  place.at = () => at

  /** Takes what the expression matches here; '' when it does not. */
  function take(pattern: RegExp): string {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0] ?? ''
    at += found.length
    return found
  }

  function skipComment(): void {
    commentEdge.lastIndex = at
    for (let depth = 0; ; ) {
      const edge = commentEdge.exec(text)
      at = edge ? commentEdge.lastIndex : text.length
      if (!edge) return
      depth += edge[0] === '/*' ? 1 : -1
      if (depth === 0) return
    }
  }

  /** Up to the closing quote, which doubled is none. `escapes`: nor is one behind a backslash. */
  function quoted(quote: string, escapes: boolean): string {
    const start = ++at
    for (; at < text.length; at++) {
      if (escapes && text[at] === '\\') at++
      else if (text[at] === quote) {
        if (text[at + 1] !== quote) break
        at++
      }
    }
    return text.slice(start, at++)
  }

  function body(tag: string): string {
    const end = text.indexOf(tag, at)
    const inside = text.slice(at, end < 0 ? text.length : end)
    at = end < 0 ? text.length : end + tag.length
    return inside
  }

  function read(): readonly [TokenKind, string] {
    const first = text[at] as string
    if (first === "'") return ['string', quoted("'", false)]
    if (first === '"') return ['quoted', quoted('"', false).replaceAll('""', '"')]
    const tag = first === '$' ? take(dollar) : ''
    if (tag) return ['body', body(tag)]
    const name = take(word)
    const next = text[at]
    if (!name) return ['other', take(parameterOrNumber) || (text[at++] as string)]
    if (next === "'" && /^[ebxn]$/i.test(name)) return ['string', quoted("'", /^e$/i.test(name))]
    if (next === '&' && /^u$/i.test(name) && (text[at + 1] === "'" || text[at + 1] === '"')) {
      const quote = text[++at] as string
      return [quote === '"' ? 'escaped' : 'string', quoted(quote, false)]
    }
    return ['word', name.toLowerCase()]
  }

  while (at < text.length) {
    if (take(space)) continue
    if (text.startsWith('/*', at)) {
      skipComment()
      continue
    }
    const start = at
    const [kind, inside] = read()
    yield { kind, text: inside, at: start }
  }
}
