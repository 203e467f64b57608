// The exported page in a headless Chromium: a WAV file as its microphone, files opened by hand, refusals, damage. A plain machine without
// Chromium checks the folder alone.
import { defaultDetectorSettings, encodeModel, load } from '@bitwright/runtime'
import { randomModel, seededDraw } from '@bitwright/runtime/testing'
import { mutate } from '@bitwright/runtime/testing/mutate'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeWav } from '../data/wav.ts'
import { parseDetectorSettings } from './detector-settings.ts'
import { Chromium, findChromium, type Page, serveFolder } from './testing/chromium.ts'
import { pageLogits, writePage } from './testing/page-logits.ts'
import { sampleRate, soundRecording, type SoundWord, trainSoundWords } from './testing/sound-words.ts'
import { web } from './web.ts'

const program = findChromium()
const folder = mkdtempSync(join(tmpdir(), 'bitwright-web-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Writes the page of a model into a folder of its own. */
function exportPage(name: string, file: Uint8Array): string {
  const directory = join(folder, name)
  writePage(directory, file)
  return directory
}

function randomFile(kind: 'raw' | 'image'): Uint8Array {
  for (let seed = 0; ; seed++) {
    const model = randomModel(seededDraw(seed))
    const { frontEnd } = model
    if (frontEnd.kind === kind && (frontEnd.kind !== 'image' || frontEnd.channels === 3)) return encodeModel(model)
  }
}

describe('the folder', () => {
  it.each([
    [
      'raw',
      ['app.js', 'detector.json', 'index.html', 'model.bw', 'page.js', 'runtime.js', 'style.css', 'waveform.js', 'worker.js', 'worklet.js'],
    ],
    ['image', ['app.js', 'index.html', 'model.bw', 'page.js', 'runtime.js', 'style.css']],
  ] as const)('of a model for %s holds every file its parts name, and no address outside', (kind, names) => {
    const file = randomFile(kind)
    const files = new Map(web.files({ model: load(file).integerModel, file }, {}).map(({ path, bytes }) => [path, Buffer.from(bytes)]))
    expect([...files.keys()].toSorted()).toEqual(names)
    expect(files.get('model.bw')).toEqual(Buffer.from(file))
    for (const [path, bytes] of files) {
      if (path === 'model.bw') continue
      const text = bytes.toString('utf8')
      expect(text, path).not.toMatch(/(?:https?:)?\/\/[\w-]+\.\w|(?:src|href)="\//)
      const named = [...text.matchAll(/(?:from |src=|href=|URL\(|loadModel\(|fetched\()["']([\w./-]+\.\w+)["']/g)].map((match) => match[1])
      for (const name of named) expect([...files.keys()], `${path} names ${name}`).toContain(name.replace('./', ''))
    }
  })
})

describe('detector.json', () => {
  const settingsOf = (files: ReturnType<typeof web.files>) =>
    JSON.parse(Buffer.from(files.find(({ path }) => path === 'detector.json')!.bytes).toString()) as unknown

  it("holds the run's settings, else the default ones", () => {
    const file = randomFile('raw')
    const source = { model: load(file).integerModel, file }
    const text = '{ "threshold": { "yes": 0.8 }, "measured": { "falseAcceptsPerHour": 1 } }'
    const detector = parseDetectorSettings(text, 'detector.json')
    expect(detector).toEqual({ ...defaultDetectorSettings, threshold: { yes: 0.8 } })
    expect(settingsOf(web.files({ ...source, detector }, {}))).toEqual(detector)
    expect(settingsOf(web.files(source, {}))).toEqual(defaultDetectorSettings)
  })

  it.each([
    [
      '{ "threshold": 7 }',
      'runs/a/detector.json: threshold 7: must be above 0, at most 1; correct it, or delete it for the default settings',
    ],
    ['{', 'runs/a/detector.json: '],
    ['{ "refractorySeconds": "long" }', 'runs/a/detector.json: refractorySeconds long: must be a number of seconds, zero or more'],
  ])('is refused in one line: %s', (text, message) => {
    expect(() => parseDetectorSettings(text, 'runs/a/detector.json')).toThrow(message)
  })
})

const spoken: readonly (readonly [SoundWord, number])[] = [
  ['high', 1.5],
  ['low', 2.7],
  ['sweep', 3.9],
  ['low', 5.1],
  ['high', 6.3],
]
const heardLabels = `[...document.querySelectorAll('#list li')].map((entry) => entry.dataset.label).reverse()`
/** Sound comes in real time, and a machine that is busy with other tests may drop some of it. */
const live = { retry: 2 }
const isReady = `!document.querySelector('#start').disabled && document.querySelector('#status').textContent`
const notice = `!document.querySelector('#notice').hidden && document.querySelector('#notice').textContent`

describe.skipIf(!program)('in Chromium (skipped without it)', () => {
  let chromium: Chromium
  let site: { url: string; close: () => void }
  let model: Uint8Array

  beforeAll(async () => {
    model = await trainSoundWords(folder)
    const microphone = join(folder, 'microphone.wav')
    writeFileSync(microphone, encodeWav(soundRecording(spoken, 9, 1), sampleRate))
    site = await serveFolder(folder)
    chromium = await Chromium.start(program!, [
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-audio-capture=${microphone}%noloop`,
      '--autoplay-policy=no-user-gesture-required',
    ])
    exportPage('audio', model)
  })
  afterAll(async () => {
    await chromium?.close()
    site?.close()
  })

  /** Opens a page that counts how often it asks for a microphone or camera. */
  async function open(name: string, options: Parameters<Chromium['page']>[0] = {}, script = ''): Promise<Page> {
    const page = await chromium.page(options)
    await page.send('Page.addScriptToEvaluateOnNewDocument', {
      source: `window.asked = 0
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
        navigator.mediaDevices.getUserMedia = (wanted) => (window.asked++, ask(wanted))
        ${script}`,
    })
    await page.open(`${site.url}${name}/`)
    await page.until(`!/^Loading/.test(document.querySelector('#status').textContent)`)
    return page
  }

  it('hears the words of the microphone, in order, with nothing from elsewhere', live, async () => {
    const page = await open('audio')
    await page.until(isReady)
    expect(await page.evaluate('window.asked')).toBe(0)
    await page.evaluate(`document.querySelector('#start').click()`)
    await page.until(`document.querySelectorAll('#list li').length >= ${spoken.length}`)
    expect(await page.evaluate(heardLabels)).toEqual(spoken.map(([word]) => word))
    expect(await page.evaluate('window.asked')).toBe(1)
    expect(await page.evaluate(notice)).toBe(false)
    await page.evaluate(`document.querySelector('#start').click()`)
    await page.until(`document.querySelector('#status').textContent === 'Not listening.'`)
    expect(page.requests.filter((url) => !url.startsWith(`${site.url}audio/`) && url !== 'data:,')).toEqual([])
    expect(page.errors).toEqual([])
  })

  it("gives Node's logits for clips", async () => {
    const page = await open('audio')
    const node = load(model)
    const clips = Array.from({ length: 24 }, (_, i) =>
      soundRecording(i % 4 === 3 ? [] : [[(['high', 'low', 'sweep'] as const)[i % 4], 0.3]], 1, 100 + i),
    )
    const logits = await pageLogits(page, join(folder, 'audio'), clips)
    expect(logits).toEqual(clips.map((clip) => [...node.run(clip)]))
    expect(new Set(logits.map(String)).size).toBe(clips.length)
  })

  it('refuses damaged models as Node does, or runs them to its logits', async () => {
    const page = await open('audio')
    const damaged = Array.from({ length: 300 }, (_, seed) => mutate(seededDraw(seed), model))
    writeFileSync(join(folder, 'audio', 'damaged.bin'), Buffer.concat(damaged))
    const outcome = (file: Uint8Array): string => {
      try {
        const own = load(file)
        if (own.frontEnd.kind === 'image') throw new Error('audio only')
        return String(own.run(new Int16Array(own.frontEnd.samples).fill(99)))
      } catch (error) {
        return String(error)
      }
    }
    const inPage = await page.evaluate<string[]>(`(async () => {
      const { load } = await import('./runtime.js')
      const response = await fetch('damaged.bin')
      const bytes = new Uint8Array(await response.arrayBuffer())
      let at = 0
      return ${JSON.stringify(damaged.map(({ length }) => length))}.map((length) => {
        try {
          const own = load(bytes.slice(at, (at += length)))
          return String(own.run(new Int16Array(own.frontEnd.samples).fill(99)))
        } catch (error) {
          return String(error)
        }
      })
    })()`)
    expect(inPage).toEqual(damaged.map(outcome))
    expect(inPage.filter((text) => text.startsWith('BadModelError')).length).toBeGreaterThan(150)
    expect(inPage.filter((text) => /^-?\d/.test(text)).length).toBeGreaterThan(10)
    expect(page.errors).toEqual([])
  })

  it('says what to do where the microphone is refused, missing or taken, and starts when it is not any more', async () => {
    for (const [error, problem, remedy] of [
      ['NotAllowedError', 'The microphone was refused.', 'Allow the microphone'],
      ['NotFoundError', 'No microphone was found.', 'Connect one'],
      ['NotReadableError', 'The microphone cannot be used now.', 'Another program may have it'],
    ]) {
      const refuse = `const granted = navigator.mediaDevices.getUserMedia
        window.refused = true
        navigator.mediaDevices.getUserMedia = (wanted) => window.refused ? Promise.reject(new DOMException('no', '${error}')) : granted(wanted)`
      const page = await open('audio', {}, refuse)
      await page.evaluate(`document.querySelector('#start').click()`)
      const text = await page.until<string>(notice)
      expect(text).toContain(problem)
      expect(text).toContain(remedy)
      expect(await page.evaluate(`document.querySelector('#start').textContent`)).toBe('Start listening')
      await page.evaluate(`window.refused = false, document.querySelector('#start').click()`)
      await page.until(`document.querySelector('#start').textContent === 'Stop'`)
      expect(await page.evaluate(notice)).toBe(false)
      await page.evaluate(`document.querySelector('#start').click()`)
      await page.until(`document.querySelector('#status').textContent === 'Not listening.'`)
    }
  })

  it('is refused by the browser itself', async () => {
    const strict = await Chromium.start(program!, ['--use-fake-device-for-media-stream'])
    try {
      const page = await strict.page()
      await strict.deny(page, site.url, 'microphone')
      await page.open(`${site.url}audio/`)
      await page.until(isReady)
      await page.evaluate(`document.querySelector('#start').click()`)
      expect(await page.until(notice)).toContain('The microphone was refused.')
      expect(page.errors).toEqual([])
    } finally {
      await strict.close()
    }
  })

  it('hears the words of an audio file, and says which file is none', live, async () => {
    const page = await open('audio')
    const recording = join(folder, 'recording.wav')
    writeFileSync(
      recording,
      encodeWav(
        soundRecording(
          [
            ['low', 0.6],
            ['sweep', 1.8],
            ['high', 3],
          ],
          4.5,
          3,
        ),
        sampleRate,
      ),
    )
    await page.choose('#file', recording)
    await page.until(`document.querySelectorAll('#list li').length >= 3`)
    expect(await page.evaluate(heardLabels)).toEqual(['low', 'sweep', 'high'])
    for (const [name, bytes] of [
      ['empty.wav', new Uint8Array(0)],
      ['text.wav', new TextEncoder().encode('this is no audio')],
      ['picture.wav', await page.screenshot()],
    ] as const) {
      writeFileSync(join(folder, name), bytes)
      await page.choose('#file', join(folder, name))
      expect(await page.until(notice), name).toContain('The file could not be played.')
    }
    const loud = Int16Array.from({ length: 800 }, (_, i) => (i & 1 ? 32767 : -32768))
    const hostile = { silence: new Int16Array(800), clipping: loud, 'one-sample': Int16Array.of(1000) }
    for (const [name, pcm] of Object.entries(hostile)) {
      writeFileSync(join(folder, `${name}.wav`), encodeWav(pcm, sampleRate))
      await page.evaluate(`document.querySelector('#status').textContent = ''`)
      await page.choose('#file', join(folder, `${name}.wav`))
      await page.until(`document.querySelector('#status').textContent === 'The file has ended.'`)
    }
    expect(await page.evaluate(notice)).toBe(false)
    expect(page.errors).toEqual([])
  })

  it('takes a file that is dropped on it instead of leaving for it', async () => {
    const page = await open('audio')
    const drop = `(() => {
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(new File(['this is no audio'], 'dropped.wav'))
      return document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
    })()`
    expect(await page.evaluate(drop)).toBe(false)
    expect(await page.until(notice)).toContain('The file could not be played.')
    expect(page.errors).toEqual([])
  })

  it.each([
    ['an old browser', '', 'It has no AudioWorklet.'],
    ['a page without https', 'Object.defineProperty(window, "isSecureContext", { value: false })', 'Open the page there.'],
  ])('offers nothing that cannot work: %s', async (_, script, remedy) => {
    const page = await chromium.page()
    await page.send('Page.addScriptToEvaluateOnNewDocument', { source: `delete window.AudioWorkletNode; ${script}` })
    await page.open(`${site.url}audio/`)
    expect(await page.until(notice)).toContain(remedy)
    expect(await page.evaluate(`['start', 'file', 'threshold'].map((id) => document.getElementById(id).disabled)`)).toEqual([
      true,
      true,
      true,
    ])
  })

  it('refuses a damaged model, and one that is missing, in words', async () => {
    const directory = exportPage('damaged', model)
    const draw = seededDraw(4)
    const page = await chromium.page()
    const reopen = async () => {
      await page.open(`${site.url}damaged/`)
      return page.until<string>(notice)
    }
    for (let round = 0; round < 8; round++) {
      const damaged = model.slice(0, round % 3 === 0 ? draw(model.length) : model.length)
      if (damaged.length > 0) damaged[draw(damaged.length)] ^= 1 << draw(8)
      writeFileSync(join(directory, 'model.bw'), damaged)
      expect(await reopen()).toMatch(/^The model could not be loaded\.model\.bw: .*: \S/)
      expect(await page.evaluate(`document.querySelector('#start').disabled`)).toBe(true)
    }
    expect(page.errors).toEqual([])
    rmSync(join(directory, 'model.bw'))
    expect(await reopen()).toContain('model.bw could not be loaded (404)')
  })

  it('listens in a page of its own, with no file but the runtime: blocks and a node, in a worker from a blob', live, async () => {
    const directory = join(folder, 'alone')
    mkdirSync(directory, { recursive: true })
    writeFileSync(
      join(directory, 'index.html'),
      '<!doctype html><title>alone</title><link rel="icon" href="data:,"><p id="status">ready</p>',
    )
    for (const name of ['runtime.js', 'model.bw']) writeFileSync(join(directory, name), readFileSync(join(folder, 'audio', name)))
    const recording = soundRecording(spoken, 9, 6)
    const expected: unknown[] = []
    const listener = load(model).listen([recording])
    listener.addEventListener('scores', ({ detail }) => expected.push([detail.time, [...detail.scores]]))
    await listener.done
    const page = await open('alone')
    const heard = await page.evaluate(`(async () => {
      const { load } = await import('./runtime.js')
      const response = await fetch('model.bw')
      const model = load(new Uint8Array(await response.arrayBuffer()))
      const scores = []
      const pcm = Int16Array.from(${JSON.stringify([...recording])})
      const listener = model.listen([pcm])
      listener.addEventListener('scores', ({ detail }) => scores.push([detail.time, [...detail.scores]]))
      await listener.done
      const context = new AudioContext()
      const buffer = context.createBuffer(1, pcm.length, ${sampleRate})
      buffer.copyToChannel(Float32Array.from(pcm, (sample) => sample / 32768), 0)
      const player = new AudioBufferSourceNode(context, { buffer })
      const live = model.listen(player)
      const labels = []
      const heardAll = new Promise((resolve) =>
        live.addEventListener('detection', ({ detail }) => labels.push(detail.label) === ${spoken.length} && resolve()))
      player.start(context.currentTime + 0.5)
      await heardAll
      await live.stop()
      const wrong = await model.listen(player, { settings: { threshold: 9 } }).done.catch((error) => String(error))
      return { scores, labels, wrong }
    })()`)
    expect(heard).toEqual({
      scores: expected,
      labels: spoken.map(([word]) => word),
      wrong: 'RangeError: threshold 9: must be above 0, at most 1',
    })
    expect(page.errors).toEqual([])
  })

  it('looks at pictures, and through the camera', async () => {
    const file = randomFile('image')
    exportPage('image', file)
    const page = await open('image')
    expect(await page.evaluate('window.asked')).toBe(0)
    writeFileSync(join(folder, 'picture.png'), await page.screenshot())
    await page.choose('#file', join(folder, 'picture.png'))
    await page.until(`/^Seen/.test(document.querySelector('#status').textContent)`)
    const node = load(file)
    if (node.frontEnd.kind !== 'image') throw new Error('no image')
    const rgba = await page.evaluate<number[]>(`(() => {
      const canvas = document.querySelector('#seen')
      return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]
    })()`)
    expect(rgba.length).toBe(4 * node.frontEnd.width * node.frontEnd.height)
    const { label, scores } = node.predict(Uint8Array.from(rgba.filter((_, i) => i % 4 < 3)))
    expect(await page.evaluate(`document.querySelector('#heard strong').textContent`)).toBe(label)
    const shown = await page.evaluate<string[]>(
      `[...document.querySelectorAll('#bars i')].map((bar) => bar.style.getPropertyValue('--score'))`,
    )
    expect(shown).toEqual([...scores].map((score) => score.toFixed(3)))
    await page.choose('#file', join(folder, 'text.wav'))
    expect(await page.until(notice)).toContain('The file could not be opened.')
    await page.evaluate(`document.querySelector('#start').click()`)
    await page.until(`document.querySelector('#status').textContent === 'Looking.'`)
    expect(await page.evaluate('window.asked')).toBe(1)
    await page.evaluate(`document.querySelector('#start').click()`)
    await page.until(`document.querySelector('#status').textContent === 'The camera is off.'`)
    expect(page.errors).toEqual([])
  })
})
