// The page that listens. The microphone is asked for on a click, never before.
import { Bars, displayName, element, explainRefusal, loadModel, notify, percent, settingsAt, takeFiles } from './page.js'
import { defaultDetectorSettings } from './runtime.js'
import { Waveform } from './waveform.js'

const scripts = { workerUrl: new URL('worker.js', import.meta.url), workletUrl: new URL('worklet.js', import.meta.url) }
const [start, file, player, slider, list] = ['start', 'file', 'player', 'threshold', 'list'].map(element)

let model, settings, bars, wave
/** What is heard now: its listener, and how it lets go of what it opened. */
let session

function status(text) {
  element('status').textContent = text
}

function showHeard(word = '', detail = '') {
  element('heard').classList.toggle('idle', word === '')
  const words = model.classes.filter((label) => !settings.ignoredClasses.includes(label)).map(displayName)
  const [shown, more] = [words.slice(0, 10).join(', '), words.length > 10 ? ', …' : '']
  element('heard').firstElementChild.textContent = word || `Listens for: ${shown}${more}`
  element('heard').lastElementChild.textContent = detail
}

const clock = (time) => `${Math.floor(time / 60)}:${(time % 60).toFixed(1).padStart(4, '0')}`

function onDetection({ label, score, time }) {
  const name = displayName(label)
  showHeard(name, percent(score))
  wave.flag(time, name)
  const entry = document.createElement('li')
  entry.dataset.label = label
  for (const [tag, text] of [
    ['time', clock(time)],
    ['b', name],
    ['small', percent(score)],
  ]) {
    const part = entry.appendChild(document.createElement(tag))
    part.textContent = text
  }
  list.prepend(entry)
  while (list.children.length > 500) list.lastElementChild.remove()
  element('none').hidden = true
  element('clear').hidden = false
}

/** Ends what is heard now, if anything. */
async function stop() {
  const ended = session
  session = undefined
  if (!ended) return
  ended.release()
  await ended.listener.stop().catch(() => {})
  bars.show(new Float32Array(model.classes.length))
  start.textContent = 'Start listening'
  start.setAttribute('aria-pressed', 'false')
  status('Not listening.')
}

/** Hears a source until it ends or is stopped. */
function hear(source, release) {
  const listener = model.listen(source, { ...scripts, settings })
  const opened = { listener, release }
  session = opened
  wave.clear()
  clearList()
  showHeard()
  let lost = 0
  listener.addEventListener('audio', ({ detail }) => wave.push(detail))
  listener.addEventListener('scores', ({ detail }) => bars.show(detail.smoothed))
  listener.addEventListener('detection', ({ detail }) => onDetection(detail))
  listener.addEventListener('lost', ({ detail }) => {
    lost += detail
    wave.skip(detail)
    status(`This device is too slow for the model: ${lost.toFixed(1)} s were left out.`)
  })
  listener.done
    .catch((error) => notify('Listening failed.', error.message))
    .then(() => {
      if (session === opened) return stop()
    })
}

async function startMicrophone() {
  notify()
  closePlayer()
  start.disabled = true
  status('Waiting for your permission to use the microphone.')
  try {
    if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError')
    // the sound as it is: what browsers do to it for calls, no training clip went through
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    })
    const [track] = stream.getAudioTracks()
    track.addEventListener('ended', () => notify('The microphone is gone.', 'Connect it and press Start again.'))
    hear(stream, () => track.stop())
    start.textContent = 'Stop'
    start.setAttribute('aria-pressed', 'true')
    status(track.label ? `Listening to ${track.label}.` : 'Listening.')
  } catch (error) {
    status('Not listening.')
    notify(...explainRefusal(error, 'microphone'))
  }
  start.disabled = false
}

let context, fileNode

function closePlayer() {
  player.pause()
  player.hidden = true
}

async function openFile(chosen) {
  await stop()
  notify()
  if (chosen.size === 0) return notify('The file could not be played.', 'It is empty.')
  if (player.src) URL.revokeObjectURL(player.src)
  player.src = URL.createObjectURL(chosen)
  player.hidden = false
  // an element gives its sound to one node, once
  context ??= new AudioContext()
  fileNode ??= context.createMediaElementSource(player)
  fileNode.connect(context.destination)
  await context.resume()
  hear(fileNode, () => player.pause())
  status(`Playing ${chosen.name}.`)
  await player.play().catch(() => status(`Press play to hear ${chosen.name}.`))
}

start.addEventListener('click', async () => {
  const isListening = start.getAttribute('aria-pressed') === 'true'
  await stop()
  if (!isListening) await startMicrophone()
})
takeFiles(file, openFile)
player.addEventListener('error', () => {
  closePlayer()
  void stop()
  notify('The file could not be played.', 'It is no audio, or of a kind that this browser does not know. WAV, MP3 and Ogg mostly work.')
})
player.addEventListener('ended', () => session && status('The file has ended.'))

slider.addEventListener('input', () => applyThreshold(Number(slider.value)))
function applyThreshold(threshold) {
  settings = { ...settings, threshold }
  showThresholds()
  void session?.listener.configure({ threshold })
}

/** Settings may have a threshold a class; the slider then stands at the highest, and moving it sets all. */
function showThresholds() {
  const { threshold } = settings
  const thresholds = model.classes.map((label) =>
    typeof threshold === 'number' ? threshold : (threshold[label] ?? defaultDetectorSettings.threshold),
  )
  slider.value = String(Math.max(...thresholds))
  element('threshold-value').textContent = percent(Number(slider.value))
  bars.mark(thresholds)
}

function clearList() {
  list.replaceChildren()
  element('none').hidden = false
  element('clear').hidden = true
}
element('clear').addEventListener('click', clearList)

try {
  ;[model, settings] = await Promise.all([loadModel(), settingsAt('detector.json')])
  bars = new Bars(element('bars'), model.classes, settings.ignoredClasses)
  wave = new Waveform(element('wave'), model.frontEnd.sampleRate)
  showThresholds()
  showHeard()
  if ('AudioWorkletNode' in window) {
    for (const control of [start, file, slider]) control.disabled = false
    status('The microphone is used after you press Start, not before. Or drop an audio file here.')
  } else if (window.isSecureContext) {
    status('Not listening.')
    notify('This browser cannot listen.', 'It has no AudioWorklet. A current Chrome, Edge, Firefox or Safari has.')
  } else {
    status('Not listening.')
    notify('This page may not listen here.', 'Browsers let pages hear at https addresses and on localhost alone. Open the page there.')
  }
} catch (error) {
  element('about').textContent = ''
  status('There is no model to listen with.')
  notify('The model could not be loaded.', error.message)
}
