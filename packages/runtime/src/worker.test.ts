// The worker's half of listening, spoken to through a scope and a port as the page and the audio thread do.

import { MessageChannel } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { AudioPipeline } from './audio-pipeline.ts'
import { encodeModel, load, type Model } from './index.ts'
import { type FromWorker, serveWorker, type ToWorker, type WorkerScope } from './worker.ts'
import { randomModel, seededDraw } from './testing/random-model.ts'

function audioModel(): Model {
  for (let seed = 0; ; seed++) {
    const model = randomModel(seededDraw(seed))
    if (model.frontEnd.kind === 'raw') return load(encodeModel(model))
  }
}

const noise = (length: number, seed: number) => {
  const draw = seededDraw(seed)
  return Float32Array.from({ length }, () => draw(65536) / 32768 - 1)
}

/** A worker whose clock stands at `now`, and what it says. */
function serve(now = 0) {
  const said: FromWorker[] = []
  let onSaid = (): void => {}
  let receive: (event: MessageEvent<ToWorker>) => void = () => {}
  const scope: WorkerScope = {
    addEventListener: (_type, listener) => (receive = listener),
    postMessage: (message) => {
      said.push(message)
      onSaid()
    },
  }
  serveWorker(scope, () => now)
  return {
    said,
    send: (data: ToWorker) => receive({ data } as MessageEvent<ToWorker>),
    until: (count: number) => new Promise<void>((resolve) => (onSaid = () => void (said.length >= count && resolve()))),
  }
}

it('answers each block with what a pipeline hears of it', () => {
  const model = audioModel()
  const options = { sampleRate: 44100, hopSeconds: 0.01 }
  const worker = serve()
  worker.send({ type: 'open', file: model.file, options })
  const pipeline = new AudioPipeline(model, options)
  const blocks = [1, 2, 3].map((seed) => noise(3000, seed))
  for (const block of blocks) worker.send({ type: 'block', block })
  worker.send({ type: 'configure', settings: { smoothingSeconds: 0 } })
  worker.send({ type: 'finish' })
  const expected = blocks.map((block) => pipeline.push(block))
  pipeline.configure({ smoothingSeconds: 0 })
  expected.push(pipeline.finish())
  expect(worker.said).toEqual(expected.map((heard) => ({ type: 'heard', heard })))
  expect(expected.flatMap(({ scores }) => scores).length).toBeGreaterThan(10)
})

it('hears live blocks through a port; leaves out what waited too long, and time goes on', async () => {
  const model = audioModel()
  const worker = serve(10_000)
  worker.send({ type: 'open', file: model.file, options: { sampleRate: 16000, hopSeconds: 0.05 } })
  const { port1, port2 } = new MessageChannel()
  worker.send({ type: 'live', port: port1 as unknown as MessagePort, sampleRate: 16000 })
  const answered = worker.until(4)
  for (const sentMs of [9990, 7999, 2000, 8001]) port2.postMessage({ samples: noise(800, sentMs), sentMs })
  await answered
  port2.close()
  expect(worker.said.map(({ type }) => type)).toEqual(['heard', 'lost', 'lost', 'heard'])
  expect(worker.said[1]).toEqual({ type: 'lost', seconds: 0.05 })
  const times = worker.said.flatMap((message) => (message.type === 'heard' ? message.heard.scores.map(({ time }) => time) : []))
  expect(times[0]).toBeCloseTo(0.05, 9)
  expect(times[1]).toBeCloseTo(0.2, 9)
})

it('says in one line what failed', () => {
  const model = audioModel()
  const damaged = model.file.slice()
  damaged[200] ^= 1
  const worker = serve()
  worker.send({ type: 'block', block: noise(10, 1) })
  worker.send({ type: 'open', file: damaged, options: {} })
  worker.send({ type: 'open', file: model.file, options: {} })
  worker.send({ type: 'configure', settings: { threshold: 3 } })
  expect(worker.said.map((message) => message.type === 'failed' && message.message)).toEqual([
    "worker: 'block' came before a model",
    'model.bw: checksum differs (file is damaged): export it again',
    'threshold 3: must be above 0, at most 1',
  ])
})
