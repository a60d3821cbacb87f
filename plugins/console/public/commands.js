// Lines of the operator's command, for what a service cannot carry out itself: with their arguments filled in, in the words of the
// place where they are run, and a button that copies them.
import { html, useEffect, useRef, useState } from './html.js'
import { Rich } from './parts.js'
import { store, stored } from './stored.js'

/** Where the command runs, and the words before its arguments there. */
const places = {
  shell: ['a shell', 'distributed-tenant'],
  compose: ['docker compose', 'docker compose run --rm operator'],
  kubernetes: ['Kubernetes', 'kubectl exec -it deployment/operator -- node /app/dist/cli/main.js'],
}
const KEY = 'shell'
const listeners = new Set()
const storedPlace = () => (Object.hasOwn(places, stored(KEY) ?? '') ? stored(KEY) : 'shell')

function usePlace() {
  const [place, set] = useState(storedPlace())
  useEffect(() => {
    listeners.add(set)
    return () => listeners.delete(set)
  }, [])
  return place
}

/** One choice for every command of the page, kept in this browser. */
export const Place = () => {
  const place = usePlace()
  const choose = event => {
    store(KEY, event.target.value)
    for (const listener of listeners) listener(event.target.value)
  }
  return html`<label class="small place"><span class="soft">Run it in</span>
    <select value=${place} onChange=${choose}>${Object.entries(places).map(([name, [label]]) => html`<option value=${name}>${label}</option>`)}</select></label>`
}

/** As a shell reads it back. */
export const quoted = text => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

/** A sentence of the server, and behind it each line of the command that it names, to be copied. */
export const Cure = ({ text }) => {
  const lines = text.split('`').filter((part, at) => at % 2 === 1 && part.startsWith('distributed-tenant '))
  return html`<${Rich} text=${text} />${lines.map(line => html`<${Command} key=${line} text=${line} />`)}`
}

/** @param text begins with `distributed-tenant` */
export const Command = ({ text }) => {
  const [, words] = places[usePlace()]
  const [said, say] = useState('')
  const code = useRef(null)
  const line = text.replace(/^distributed-tenant/, words)
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line)
      say('Copied')
    } catch {
      // Without TLS there is no clipboard: the text is selected instead.
      getSelection().selectAllChildren(code.current)
      say('Selected: copy it')
    }
    setTimeout(() => say(''), 2_500)
  }
  return html`<div class="command"><code ref=${code}>${line}</code>
    <button type="button" class="act slim" onClick=${copy}>${said === '' ? 'Copy' : said}</button><span class="sr" role="status">${said}</span></div>`
}
