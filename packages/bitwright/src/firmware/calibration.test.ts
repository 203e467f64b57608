// Counting layers in the emulator, and what the committed tables say of networks they were not made from.
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { designedFrontEnds, designedNetwork, stockedModel } from '../hardware/designed-networks.ts'
import { frameText } from '../hardware/front-end-law.ts'
import { layerText, modelLayers, networkLayers } from '../hardware/layer-shape.ts'
import { predict } from '../hardware/law.ts'
import type { HardwareTable } from '../hardware/table.ts'
import { readHardware, timeModel } from '../hardware/targets.ts'
import { builtinNetwork, classifier, convolution, network, type NetworkNode, withBits } from '../network/index.ts'
import { calibrate, type CalibrationState, cortexFacts, type Counter, openCounter } from './calibration.ts'
import { runFirmware } from './run.ts'
import { exportedFolder } from './testing/folder.ts'
import { families, kendallTau, variedNetworks } from './testing/varied-networks.ts'
import { missingTools } from './tools.ts'

const sum = (numbers: readonly number[]): number => numbers.reduce((total, value) => total + value, 0)

describe("Kendall's tau", () => {
  it.each([
    [[1, 2, 3, 4], [10, 20, 30, 40], 1],
    [[1, 2, 3, 4], [4, 3, 2, 1], -1],
    [[1, 2, 3, 4], [1, 2, 4, 3], 4 / 6],
    [[1, 1, 2], [1, 2, 3], 2 / 3],
  ])('%j, %j: %d', (a, b, tau) => expect(kendallTau(a, b)).toBeCloseTo(tau, 12))
})

const missing = missingTools()
describe.skipIf(missing !== undefined)(`in QEMU${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let counter: Counter
  beforeAll(() => (counter = openCounter('cortex-m4', () => {})))
  afterAll(() => counter.close())

  it('counts of layers what exported firmware takes for them', async () => {
    const model = stockedModel(designedNetwork(1, 0))
    const [counts] = await counter.count([{ model, frames: 0 }])
    const folder = exportedFolder(model)
    const [values] = model.tensors
    const input = Uint8Array.from({ length: values.shape.reduce((product, size) => product * size) }, (_, i) => (i * 7919) % 251)
    const { layers } = await runFirmware({ folder, target: 'cortex-m4', inputs: [{ name: 'noise', input }] })
    rmSync(folder, { recursive: true })
    for (const [i, { instructions }] of layers!.entries()) expect(Math.abs(counts[i] / instructions - 1)).toBeLessThan(0.02) // clamps branch on values
  })

  it('fills a state batch by batch, and goes on with one', async () => {
    const fresh = (): CalibrationState => ({ frames: {}, layers: {}, networks: 0 })
    const saved: number[] = []
    const options = { networks: 20, seed: 3, onProgress: () => {} }
    const whole = fresh()
    await calibrate(counter, { ...options, state: whole, onState: () => saved.push(whole.networks) })
    expect(saved).toEqual([0, 16, 20])
    expect(Object.keys(whole.frames)).toEqual(designedFrontEnds.map(frameText))
    const texts = new Set(Array.from({ length: 20 }, (_, i) => modelLayers(stockedModel(designedNetwork(3, i))).map(layerText)).flat())
    expect(new Set(Object.keys(whole.layers))).toEqual(texts)

    const part = fresh()
    const stop = { ...options, networks: 16, state: part, onState: () => {} }
    await calibrate(counter, stop)
    await calibrate(counter, { ...stop, networks: 20 })
    expect(part).toEqual(whole)
  })

  it.each([8, 4])(
    "cortex-m4: attention's instructions are predicted, CENet-GCN's and of more channels than any measured, at %i bits",
    async (bits) => {
      const classes = Array.from({ length: 12 }, (_, i) => `word${i}`)
      const map = (id: string, from: string) => convolution(id, from, { channels: 64, kernelSize: [1, 1], activation: 'none' })
      const nodes: NetworkNode[] = [
        { id: 'input', op: 'input', inputs: [], shape: [8, 8, 1] },
        ...['query', 'key', 'value'].map((id) => map(id, 'input')),
        { id: 'look', op: 'attend', inputs: ['query', 'key', 'value'], activation: 'relu' },
        ...classifier('look', classes.length),
      ]
      const deep = network('deep', { kind: 'image', height: 8, width: 8, channels: 1 }, classes, nodes)
      const networks = [builtinNetwork('cenet-gcn-6', { classes }), deep].map((float) =>
        withBits(float, { weightBits: bits, activationBits: bits }),
      )
      const counts = await counter.count(networks.map((own) => ({ model: stockedModel(own), frames: 0 })))
      const layers = networks.map((own) => networkLayers(own).flatMap((node) => node.layers))
      const { laws, kernels } = readHardware('cortex-m4') as HardwareTable
      const attention = layers.flatMap((own, i) =>
        own.flatMap((layer, at) => (layer.op === 'attend' ? [{ layer, count: counts[i][at] }] : [])),
      )
      expect(attention).toHaveLength(4)
      for (const { layer, count } of attention) expect(Math.abs(predict(laws, layer, kernels)! / count - 1)).toBeLessThan(0.03)
    },
  )

  it.each(families)('cortex-m4: the order of ten networks of %s is predicted, and their instructions', async (family) => {
    const table = readHardware('cortex-m4')
    const model = timeModel(table)
    const networks = variedNetworks(family, 10)
    const counted = (await counter.count(networks.map((own) => ({ model: stockedModel(own), frames: 0 })))).map(sum)
    const predicted = networks.map((own) => {
      const { nodes } = model.time(networkLayers(own), own.frontEnd)
      return sum(nodes.map(({ cycles }) => cycles! * cortexFacts['cortex-m4'].instructionsPerCycle))
    })
    expect(kendallTau(predicted, counted)).toBeGreaterThanOrEqual(0.9)
    for (const [i, count] of counted.entries()) expect(Math.abs(predicted[i] / count - 1)).toBeLessThan(0.1)
  })
})
