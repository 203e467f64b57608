// What the pages for audio and for images share: the model, the bars, the notice and the theme.
import { load } from './runtime.js'

export const element = (id) => document.getElementById(id)

/** `_silence_` as people write it. */
export const displayName = (label) => label.replace(/^_(.+)_$/, '$1')

const percent = (score) => `${Math.round(score * 100)} %`

/** Shows a problem and what to do about it; nothing to take it away. */
export function notify(problem, remedy = '') {
  const notice = element('notice')
  notice.hidden = problem === undefined
  notice.firstElementChild.textContent = problem ?? ''
  notice.lastElementChild.textContent = remedy
}

async function fetched(path) {
  const response = await fetch(path)
  if (!response.ok) throw new Error(`${path} could not be loaded (${response.status}). Put the whole exported folder on the server.`)
  return response
}

/** Reads a JSON file beside the page. */
export async function settingsAt(path) {
  const response = await fetched(path)
  try {
    return await response.json()
  } catch {
    throw new Error(`${path} is no JSON. Export the page again.`)
  }
}

/** Loads the model beside the page and puts its name above it. */
export async function loadModel() {
  const response = await fetched('model.bw')
  const file = new Uint8Array(await response.arrayBuffer())
  const model = load(file)
  document.title = `${model.name} · Bitwright`
  element('name').textContent = model.name
  element('about').textContent = `${model.classes.length} classes · ${(file.length / 1024).toFixed(1)} KiB`
  return model
}

/** Calls `open` with a file that is chosen, or dropped anywhere on the page, once the input is enabled. */
export function takeFiles(input, open) {
  input.addEventListener('change', () => {
    const [chosen] = input.files
    input.value = ''
    if (chosen) void open(chosen)
  })
  // without these a browser leaves the page and shows the file
  addEventListener('dragover', (event) => event.preventDefault())
  addEventListener('drop', (event) => {
    event.preventDefault()
    const [dropped] = event.dataTransfer.files
    if (dropped && !input.disabled) void open(dropped)
  })
}

/** One bar a class, to be given its scores. */
export class Bars {
  constructor(list, classes, ignoredClasses = []) {
    list.classList.toggle('many', classes.length > 16)
    this.list = list
    this.rows = classes.map((label) => {
      const row = document.createElement('li')
      const [name, bar, value] = ['b', 'i', 'small'].map((tag) => row.appendChild(document.createElement(tag)))
      name.textContent = displayName(label)
      name.title = label
      bar.setAttribute('role', 'meter')
      bar.setAttribute('aria-label', `Score of ${displayName(label)}`)
      bar.setAttribute('aria-valuemin', '0')
      bar.setAttribute('aria-valuemax', '1')
      const ignored = ignoredClasses.includes(label)
      row.classList.toggle('ignored', ignored)
      list.append(row)
      return { row, bar, value, ignored, threshold: Infinity }
    })
    this.show(new Float32Array(classes.length))
  }

  /** @param thresholds in class order */
  mark(thresholds) {
    for (const [index, entry] of this.rows.entries()) {
      entry.threshold = thresholds[index]
      entry.bar.style.setProperty('--threshold', String(thresholds[index]))
    }
  }

  show(scores) {
    for (const [index, { row, bar, value, ignored, threshold }] of this.rows.entries()) {
      const score = scores[index]
      bar.style.setProperty('--score', score.toFixed(3))
      bar.setAttribute('aria-valuenow', score.toFixed(2))
      value.textContent = percent(score)
      row.classList.toggle('over', !ignored && score >= threshold)
    }
  }
}

export { percent }

/** Why a camera or microphone cannot be had, and what to do. */
export function explainRefusal(error, device) {
  const other = device === 'microphone' ? 'an audio file' : 'a picture'
  if (!window.isSecureContext)
    return [
      `This page may not use the ${device} here.`,
      `Browsers give it to https addresses and localhost alone. Open the page there, or open ${other}.`,
    ]
  switch (error.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return [
        `The ${device} was refused.`,
        `Nothing is wrong with the page: it has no permission. Allow the ${device} with the button beside the page's address, and press Start again. Or open ${other}.`,
      ]
    case 'NotFoundError':
    case 'OverconstrainedError':
      return [`No ${device} was found.`, `Connect one and press Start again. Or open ${other}.`]
    case 'NotReadableError':
    case 'AbortError':
      return [`The ${device} cannot be used now.`, `Another program may have it. Close that and press Start again. Or open ${other}.`]
    default:
      return [`The ${device} could not be started.`, `${error.message} Or open ${other}.`]
  }
}

element('theme').addEventListener('click', () => {
  const root = document.documentElement
  const isDark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  root.dataset.theme = isDark ? 'light' : 'dark'
  root.dispatchEvent(new Event('themechange'))
})
