// What is remembered is what the source gave, for these samples and this draw of their variations alone.
import { Engine, openBackend, type Stored, Tape } from '@bitwright/engine'
import { expect, it } from 'vitest'
import type { AugmentationKey } from '../data/augment.ts'
import type { Dataset, Sample } from '../data/dataset.ts'
import { RememberingSource } from './remembering-source.ts'

const engine = new Engine(await openBackend({ backend: 'wasm', threads: 1 }))
const samples: Sample[] = [0, 1, 2].map((index) => ({ path: `clip${index}`, label: 0, index }))

function counting() {
  let fills = 0
  const source = {
    dataset: { splits: {} } as Dataset,
    epochOrder: () => samples,
    fill: (input: Stored, clips: readonly Sample[], key: AugmentationKey | null) => {
      fills++
      const values = engine.floats(input.offset, input.batch * input.height * input.rowStride)
      clips.forEach(({ index }, row) => (values[row * input.height * input.rowStride] = 100 * (key?.epoch ?? -1) + index))
    },
  }
  const tape = new Tape(engine, { batch: 2, mode: 'evaluate' })
  const input = tape.input(1, 2, 1).stored
  const remembering = new RememberingSource(engine, source)
  const fill = (clips: Sample[], epoch: number | undefined): number[] => {
    const size = input.height * input.rowStride
    engine.floats(input.offset, 2 * size).fill(0)
    remembering.fill(input, clips, epoch === undefined ? null : { seed: 0, epoch })
    const values = engine.floats(input.offset, 2 * size)
    return [values[0], values[size]]
  }
  return { remembering, fill, fills: () => fills }
}

it('fills once for all paths of a step', () => {
  const { fill, fills } = counting()
  const pair = [samples[1], samples[2]]
  expect([fill(pair, 3), fill(pair, 3), fill(pair, 3)]).toEqual([
    [301, 302],
    [301, 302],
    [301, 302],
  ])
  expect(fills()).toBe(1)
  expect(fill(pair, 4)).toEqual([401, 402])
  expect(fill([samples[2], samples[1]], 4)).toEqual([402, 401])
  expect(fill(pair, undefined)).toEqual([-99, -98])
  expect(fills()).toBe(4)
})

it('keeps everything only while it is told to', () => {
  const { remembering, fill, fills } = counting()
  const [one, other] = [
    [samples[0], samples[1]],
    [samples[1], samples[0]],
  ]
  fill(one, 0)
  fill(other, 0)
  fill(one, 0)
  expect(fills()).toBe(3)
  remembering.remember(true)
  for (const clips of [one, other, one, other]) fill(clips, 0)
  expect(fills()).toBe(5)
})
