// The view library: preact with htm, as one import for every module of the console.
import htm from './vendor/htm.js'
import { h, render } from './vendor/preact.js'

export { useCallback, useEffect, useMemo, useRef, useState } from './vendor/hooks.js'
export { render }
export const html = htm.bind(h)
