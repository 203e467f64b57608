import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convolution, Engine, none, openBackend, profileProgram, profileTable, relu, Tape } from './index.ts'

describe('profile', () => {
  let engine: Engine
  beforeAll(async () => {
    engine = new Engine(await openBackend({ backend: 'wasm', threads: 1 }))
  })
  afterAll(() => engine.backend.close())

  /** Two layers without gradients: 8 -> 16 channels pointwise, then 3x3 depthwise, stride 2. */
  function record() {
    const tape = new Tape(engine, { batch: 2, mode: 'evaluate' })
    const weights = { offset: tape.allocate(16 * 16), gradient: none }
    engine.floats(weights.offset, 16 * 16).fill(0.5)
    const x = tape.input(6, 4, 8)
    engine.floats(x.stored.offset, 2 * 6 * 4 * 8).fill(0.25)
    const wide = relu(convolution(tape, x, weights, { channels: 16, kernelSize: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0], groups: 1 }))
    const y = convolution(tape, wide, weights, { channels: 16, kernelSize: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 16 })
    return { tape, program: tape.program(), y }
  }

  it('lists every command in order with the work it did', () => {
    const { tape, program } = record()
    const commands = profileProgram(engine, program, 3)
    expect(commands.map(({ name }) => name)).toEqual(['pack', 'packDepthwise', 'convolution', 'depthwise'])
    expect(commands[2]).toMatchObject({ layer: '6x4x8 > 6x4x16, 1x1', flops: 2 * 2 * 6 * 4 * 8 * 16 })
    expect(commands.every(({ ms }) => ms >= 0)).toBe(true)
    expect(commands.some(({ ms }) => ms > 0)).toBe(true)
    expect(commands[3]).toMatchObject({ layer: '6x4x16 > 3x2x16, 3x3 / 2x2', flops: 2 * 2 * 3 * 2 * 16 * 9 })
    tape.dispose()
  })

  it('computes what a plain run computes', () => {
    const { tape, program, y } = record()
    const map = engine.floats(y.stored.offset, 2 * 3 * 2 * 16)
    engine.backend.run(program)
    const plain = map.slice()
    map.fill(0)
    profileProgram(engine, program, 1)
    expect(map).toEqual(plain)
    expect(plain.some((v) => v !== 0)).toBe(true)
    tape.dispose()
  })

  it('adds up commands of one name', () => {
    const work = { layer: '', flops: 0, readBytes: 0, writtenBytes: 0 }
    const table = profileTable([
      { ...work, name: 'convolution', layer: 'a', ms: 1, flops: 2e6, readBytes: 3e6 },
      { ...work, name: 'convolution', layer: 'b', ms: 2, flops: 1e6, writtenBytes: 3e6 },
      { ...work, name: 'add', ms: 1 },
    ])
    expect(table).toContain('    3.000   75.0 %      1.0      2.0  convolution')
    expect(table).toContain('    4.000  100.0 %      0.8      1.5  total')
    expect(
      profileTable([
        { ...work, name: 'convolution', layer: 'big', ms: 99.5 },
        { ...work, name: 'add', layer: 'small', ms: 0.5 },
      ]),
    ).not.toContain('small')
  })
})
