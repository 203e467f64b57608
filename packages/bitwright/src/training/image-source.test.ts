import { Tape } from '@bitwright/engine'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ImageDataset, Sample } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { AudioSource } from './audio-source.ts'
import { ImageSource } from './image-source.ts'
import { openSource } from './sample-source.ts'
import { openEngine, toneDataset, toneNetwork } from './testing/tones.ts'

const [height, width] = [6, 5]
const train = Array.from({ length: 30 }, (_, index): Sample => ({ path: `${index}`, label: index % 2, index }))

function images(channels: 1 | 3): ImageDataset {
  const pixels = Uint8Array.from({ length: 30 * height * width * channels }, (_, i) => (i * 37) % 256)
  const splits = { train, validation: [], test: [] }
  return { kind: 'image', directory: 'd', classes: ['a', 'b'], height, width, channels, splits, skipped: [], pixels }
}

let engine: Awaited<ReturnType<typeof openEngine>>
beforeAll(async () => {
  engine = await openEngine(1)
})
afterAll(() => engine.backend.close())

it.each([1, 3] as const)('fills the input map of %i channels and clears the other rows', (channels) => {
  const dataset = images(channels)
  const source = new ImageSource(engine, dataset, { kind: 'image', height, width, channels })
  const tape = new Tape(engine, { batch: 4, mode: 'evaluate' })
  const { stored } = tape.input(height, width, channels)
  const map = engine.floats(stored.offset, 4 * height * stored.rowStride).fill(0)
  for (let time = 0; time < 2; time++) {
    source.fill(stored, time === 0 ? train.slice(0, 4) : [train[9], train[3]], null)
    ;(time === 0 ? [0, 1, 2, 3] : [9, 3, undefined, undefined]).forEach((index, row) => {
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
          for (let channel = 0; channel < channels; channel++) {
            const value = index === undefined ? 0 : (dataset.pixels[((index * height + y) * width + x) * channels + channel] - 128) / 128
            expect(map[(row * height + y) * stored.rowStride + x * stored.stride + channel]).toBe(value)
          }
    })
  }
  tape.dispose()
})

it('gives every image once an epoch, in an order by seed and epoch', () => {
  const source = new ImageSource(engine, images(3), { kind: 'image', height, width, channels: 3 })
  const order = (seed: number, epoch: number) => source.epochOrder(seed, epoch).map(({ index }) => index)
  expect(order(1, 0).toSorted((a, b) => a - b)).toEqual(train.map(({ index }) => index))
  expect(order(1, 0)).toEqual(order(1, 0))
  expect(order(1, 1)).not.toEqual(order(1, 0))
  expect(order(2, 0)).not.toEqual(order(1, 0))
})

it('is opened by kind, and refuses networks for something else', () => {
  const form = { kind: 'image', height, width, channels: 3 } as const
  expect(openSource(engine, images(3), form)).toBeInstanceOf(ImageSource)
  expect(openSource(engine, toneDataset(), toneNetwork().frontEnd)).toBeInstanceOf(AudioSource)
  expect(() => openSource(engine, images(1), form)).toThrow(RunError)
  expect(() => openSource(engine, images(1), form)).toThrow('the network takes images of 6x5x3, the dataset has 6x5x1')
  expect(() => openSource(engine, images(3), toneNetwork().frontEnd)).toThrow('the network takes sound, the dataset has images')
  expect(() => openSource(engine, toneDataset(), form)).toThrow('the network reads images')
})
