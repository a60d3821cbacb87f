// Owns the conversation between `pg`'s queries and a tenant's client: what they write as messages of the protocol is sent as
// statements of the client, and its results come back as the messages of the server. So rows, fields, parsers, cursors and
// errors are made by `pg`'s own code. Invariant: in order, and nothing is said any more behind the end.
import { EventEmitter } from 'node:events'
import {
  type QueryClient,
  statementTextsOf,
  TenantClientMethod,
  written,
} from '../../plugins/distributed-tenant/index.js'
import { errorOf, fieldsOf, type RawResult, tagOf, textsOf } from './messages.js'

export type Value = string | Buffer | null

export interface Bind {
  readonly statement?: string
  readonly values?: unknown[] | null
  readonly binary?: boolean
  readonly valueMapper?: (value: unknown) => Value
}

type Rows = readonly (Buffer | null)[][]

/** A query of `pg` as it was bound. */
export interface Bound {
  readonly text: string
  readonly name: string
  readonly values: readonly Value[]
}

interface Reading {
  readonly batches: AsyncGenerator<Rows>
  readonly waiting: (Buffer | null)[][]
  over: boolean
}

/** The parameters of a query. @throws TENANT_CLIENT_METHOD for results in binary */
export function valuesOf({ values, binary, valueMapper }: Bind): readonly Value[] {
  if (binary) throw new TenantClientMethod('query', 'results come as text: leave `binary` out')
  const list = values ?? []
  return valueMapper ? list.map(value => valueMapper(value)) : (list as Value[])
}

/** A query of `pg` as one of the client. */
export function queryOf(client: QueryClient, { text, name, values }: Bound) {
  const parameters = values.map(value => (value === null ? null : written(value)))
  const options = name === '' ? { simple: false } : { simple: false, prepare: true }
  return client.unsafe(text, parameters as never[], options as object)
}

/** Rows as the bytes that the server sent: not sent before it is awaited. */
export const rowsOf = (client: QueryClient, bound: Bound) => queryOf(client, bound).raw()

/** The interface of `pg`'s Connection that its queries and cursors use. */
export abstract class Wire extends EventEmitter {
  readonly parsedStatements: Record<string, string> = {}
  readonly submittedNamedStatements: Record<string, string> = {}
  readonly stream: object = {}
  #parsed: { readonly text: string; readonly name: string } | null = null
  #bound: Bound | null = null
  /** A description was asked for, and is not sent yet. */
  #describing = false
  #reading: Reading | null = null
  /** The server takes nothing more until the next sync. */
  #failed = false
  #synced = false
  #work: Promise<void> = Promise.resolve()
  protected over = false

  /** Where statements go. @throws the refusal */
  protected abstract client(): QueryClient
  /** `I`, or `T` in a transaction. */
  protected abstract readonly status: string
  protected abstract deliver(name: string, message: object): void

  parse({ text, name }: { text: string; name?: string }): void {
    this.#parsed = { text, name: name ?? '' }
  }

  /** @throws TENANT_CLIENT_METHOD for results in binary */
  bind(bind: Bind): void {
    const { statement = '' } = bind
    const values = valuesOf(bind)
    const { text, name } = this.#parsed ?? { text: this.parsedStatements[statement] ?? '', name: statement }
    this.#parsed = null
    this.#bound = { text, name, values }
  }

  describe(): void {
    this.#describing = true
  }

  execute({ rows }: { rows?: number }): void {
    if (rows) this.#next(() => this.#read(rows))
    else this.#next(() => this.#run(this.#bound as Bound))
  }

  flush(): void {
    if (this.#describing) this.#next(() => this.#describe())
  }

  sync(): void {
    this.#synced = true
    this.#after(() => this.#ready())
  }

  close({ type }: { type: string }): void {
    if (type !== 'P') return
    this.#after(async () => {
      const reading = this.#reading
      this.#reading = null
      await reading?.batches.return(undefined)
      this.deliver('closeComplete', {})
    })
  }

  /** The simple protocol: maybe several statements. */
  query(text: string): void {
    this.#next(async () => {
      const texts = /;\s*\S/.test(text) ? statementTextsOf(text) : [text]
      if (texts.length > 1) await this.several(texts)
      else await this.#run({ text, name: '', values: [] })
    })
    this.sync()
  }

  sendCopyFail(): void {}
  ref(): void {}
  unref(): void {}

  /** Several statements of one text. */
  protected abstract several(texts: readonly string[]): Promise<void>

  /** Sends one and delivers its result. */
  protected async one(text: string): Promise<void> {
    await this.#run({ text, name: '', values: [] })
  }

  /** When what is under way is over. */
  protected later(work: () => void): void {
    this.#after(work)
  }

  #next(work: () => Promise<void>): void {
    this.#after(async () => {
      if (this.#failed) return
      try {
        await work()
      } catch (error) {
        this.#fails(error)
      }
    })
  }

  #after(work: () => void | Promise<void>): void {
    this.#work = this.#work.then(() => (this.over ? undefined : work()))
  }

  #fails(error: unknown): void {
    if (this.over) return
    this.#failed = true
    this.#reading = null
    this.deliver('errorMessage', errorOf(error) as object)
    if (!this.#synced) this.sync()
  }

  #ready(): void {
    this.#failed = this.#synced = this.#describing = false
    this.#bound = this.#parsed = null
    this.deliver('readyForQuery', { status: this.status })
  }

  async #run(bound: Bound): Promise<void> {
    this.#describing = false
    const result = (await rowsOf(this.client(), bound)) as unknown as RawResult
    if (this.over) return
    if (bound.name !== '') this.deliver('parseComplete', {})
    if (result.columns && result.columns.length > 0)
      this.deliver('rowDescription', { fields: fieldsOf(result.columns) })
    for (const row of result) this.deliver('dataRow', { fields: textsOf(row) })
    if (result.command === null) this.deliver('emptyQuery', {})
    else this.deliver('commandComplete', { text: tagOf(result) })
  }

  async #describe(): Promise<void> {
    if (!this.#describing) return
    this.#describing = false
    const { columns } = await queryOf(this.client(), this.#bound as Bound).describe()
    if (columns.length > 0) this.deliver('rowDescription', { fields: fieldsOf(columns as never) })
    else this.deliver('noData', {})
  }

  async #read(rows: number): Promise<void> {
    await this.#describe()
    this.#reading ??= {
      batches: rowsOf(this.client(), this.#bound as Bound).cursor(rows) as unknown as AsyncGenerator<Rows>,
      waiting: [],
      over: false,
    }
    const { batches, waiting } = this.#reading
    while (waiting.length < rows && !this.#reading.over) {
      const { value, done } = await batches.next()
      if (done) this.#reading.over = true
      else waiting.push(...(value as (Buffer | null)[][]))
    }
    if (this.over) return
    const now = waiting.splice(0, rows)
    for (const row of now) this.deliver('dataRow', { fields: textsOf(row) })
    if (now.length === rows) this.deliver('portalSuspended', {})
    else {
      this.#reading = null
      this.deliver('commandComplete', { text: `SELECT ${now.length}` })
    }
  }
}
