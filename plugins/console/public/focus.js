// The focus of a page that changes under it: a row that is handled, or a button whose action is done, is taken away together with
// the focus. Invariant: the focus goes to the page's heading then, and the next Tab does not begin at the top of the document.

export function keepFocus(root) {
  let last = null
  root.addEventListener('focusin', ({ target }) => {
    last = target
  })
  new MutationObserver(() => {
    if (!last || last.isConnected) return
    last = null
    if (document.activeElement === document.body || document.activeElement === null)
      document.getElementById('title')?.focus({ preventScroll: true })
  }).observe(root, { childList: true, subtree: true })
}
