// Does the predicted latency order networks as the emulator's instruction counts do? Random networks of four families with random widths at
// every layer, none of which the tables were made from: Kendall's tau of predicted and counted instructions (layers and features of a clip),
// and the errors. Exit code 1 where a tau is below 0.9.
//   node bench/latency.ts [--networks 10] [--targets a,b] [--tables DIR] [--json]
import { join } from 'node:path'
import { cortexFacts, openCounter } from '../packages/bitwright/src/firmware/calibration.ts'
import { families, kendallTau, variedNetworks } from '../packages/bitwright/src/firmware/testing/varied-networks.ts'
import { stockedModel } from '../packages/bitwright/src/hardware/designed-networks.ts'
import { frameText } from '../packages/bitwright/src/hardware/front-end-law.ts'
import { networkLayers } from '../packages/bitwright/src/hardware/layer-shape.ts'
import { cortexTargets, readHardware, timeModel } from '../packages/bitwright/src/hardware/targets.ts'
import { requireIntegerForm } from '../packages/bitwright/src/network/graph.ts'
import { isSpectral, spectralFrames } from '../packages/runtime/src/index.ts'
import { columns } from './columns.ts'
import { readFlags } from './flags.ts'

const values = readFlags('node bench/latency.ts [--networks 10] [--targets a,b] [--tables DIR] [--json]', [], {
  networks: '10',
  targets: cortexTargets.join(),
  tables: undefined,
  json: false,
})
const count = Number(values.networks)
const asked = values.targets.split(',')
const sum = (numbers: readonly number[]): number => numbers.reduce((total, value) => total + value, 0)
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

const rows: Record<string, string | number>[] = []
let least = 1
for (const name of asked) {
  const table = readHardware(values.tables ? join(values.tables, `${name}.json`) : name)
  if (table.model !== 'table' || table.unit !== 'instructions') throw new Error(`${name}: is no table of instructions`)
  const model = timeModel(table)
  const counter = openCounter(cortexFacts[name].firmware, console.error)
  try {
    for (const family of families) {
      const networks = variedNetworks(family, count)
      const models = networks.map(stockedModel)
      const layers = await counter.count(models.map((own) => ({ model: own, frames: 0 })))
      const { frontEnd } = networks[0]
      requireIntegerForm(frontEnd)
      const frames = isSpectral(frontEnd) ? sum((await counter.count([{ model: models[0], frames: 4 }]))[0]) / 4 : 0
      const counted = layers.map((own) => sum(own) + (isSpectral(frontEnd) ? frames * spectralFrames(frontEnd) : 0))
      const started = performance.now()
      const predicted = networks.map(
        (network) => model.time(networkLayers(network), network.frontEnd).cycles! * table.instructionsPerCycle!,
      )
      const ms = (performance.now() - started) / count
      const errors = counted.map((value, i) => Math.abs(predicted[i] / value - 1)).toSorted((a, b) => a - b)
      const tau = kendallTau(predicted, counted)
      least = Math.min(least, tau)
      rows.push({
        target: name,
        networks: family,
        tau: tau.toFixed(3),
        'median error': percent(errors[count >> 1]),
        'largest error': percent(errors.at(-1)!),
        'smallest, M': (Math.min(...counted) / 1e6).toFixed(2),
        'largest, M': (Math.max(...counted) / 1e6).toFixed(2),
        'layers alone': kendallTau(
          predicted,
          layers.map((own) => sum(own)),
        ).toFixed(3),
        'ms a price': ms.toFixed(3),
        ...(isSpectral(frontEnd) && { frame: frameText(frontEnd) }),
      })
    }
  } finally {
    counter.close()
  }
}
console.log(values.json ? JSON.stringify(rows) : columns(rows.map(({ frame: _frame, ...row }) => row)))
process.exit(least < 0.9 ? 1 : 0)
