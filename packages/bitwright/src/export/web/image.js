// The page that looks: at a picture, or through the camera, which is asked for on a click, never before.
import { Bars, displayName, element, explainRefusal, loadModel, notify, percent, takeFiles } from './page.js'

const [start, file, image, video, seen] = ['start', 'file', 'image', 'video', 'seen'].map(element)
let model, bars, stream

function status(text) {
  element('status').textContent = text
}

/** The middle of a picture in the model's shape, as its pixels. */
function pixelsOf(source, sourceWidth, sourceHeight) {
  const { width, height, channels } = model.frontEnd
  const scale = Math.min(sourceWidth / width, sourceHeight / height)
  const [cutWidth, cutHeight] = [width * scale, height * scale]
  const context = seen.getContext('2d', { willReadFrequently: true })
  context.imageSmoothingQuality = 'high'
  context.drawImage(source, (sourceWidth - cutWidth) / 2, (sourceHeight - cutHeight) / 2, cutWidth, cutHeight, 0, 0, width, height)
  const { data } = context.getImageData(0, 0, width, height)
  return Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const at = Math.floor(i / channels) * 4
    // ITU-R BT.601
    if (channels === 1) return Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2])
    return data[at + (i % channels)]
  })
}

function look(source, width, height) {
  if (width === 0 || height === 0) return
  const { label, index, scores } = model.predict(pixelsOf(source, width, height))
  element('heard').classList.remove('idle')
  element('heard').firstElementChild.textContent = displayName(label)
  element('heard').lastElementChild.textContent = percent(scores[index])
  bars.show(scores)
}

function stopCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop()
  stream = undefined
  video.srcObject = null
  video.hidden = true
  start.textContent = 'Start the camera'
  start.setAttribute('aria-pressed', 'false')
}

function watch() {
  if (!stream) return
  look(video, video.videoWidth, video.videoHeight)
  video.requestVideoFrameCallback(watch)
}

async function startCamera() {
  notify()
  start.disabled = true
  status('Waiting for your permission to use the camera.')
  try {
    if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError')
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } })
    stream.getVideoTracks()[0].addEventListener('ended', () => {
      stopCamera()
      notify('The camera is gone.', 'Connect it and press Start again.')
    })
    video.srcObject = stream
    image.hidden = true
    element('none').hidden = true
    video.hidden = false
    await video.play()
    video.requestVideoFrameCallback(watch)
    start.textContent = 'Stop the camera'
    start.setAttribute('aria-pressed', 'true')
    status('Looking.')
  } catch (error) {
    stopCamera()
    status('No picture is seen.')
    notify(...explainRefusal(error, 'camera'))
  }
  start.disabled = false
}

start.addEventListener('click', () => {
  if (!stream) return startCamera()
  stopCamera()
  element('none').hidden = false
  status('The camera is off.')
})
takeFiles(file, async (chosen) => {
  notify()
  stopCamera()
  if (image.src) URL.revokeObjectURL(image.src)
  image.src = URL.createObjectURL(chosen)
  try {
    await image.decode()
  } catch {
    image.hidden = true
    element('none').hidden = false
    return notify('The file could not be opened.', 'It is no picture, or of a kind that this browser does not know. JPEG and PNG work.')
  }
  element('none').hidden = true
  image.hidden = false
  look(image, image.naturalWidth, image.naturalHeight)
  status(`Seen: ${chosen.name}.`)
})

try {
  model = await loadModel()
  const { width, height } = model.frontEnd
  seen.width = width
  seen.height = height
  bars = new Bars(element('bars'), model.classes)
  for (const control of [start, file]) control.disabled = false
  element('heard').firstElementChild.textContent = `Sees ${width} × ${height} pixels`
  status('The camera is used after you press Start, not before. Or drop a picture here.')
} catch (error) {
  element('about').textContent = ''
  status('There is no model to look with.')
  notify('The model could not be loaded.', error.message)
}
