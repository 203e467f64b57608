// What `bitwright hardware` prints.
import { existsSync } from 'node:fs'
import type { HardwareTable } from '../hardware/table.ts'
import { tableFormat } from '../hardware/table.ts'
import { type Hardware, measuredPath, readHardware, targetNames } from '../hardware/targets.ts'
import { count, percent } from '../report/units.ts'
import type { ModelDescription } from './model-description.ts'
import { textTable } from './text-table.ts'

export interface ListedTarget {
  readonly name: string
  readonly model: Hardware['model']
  readonly tells: readonly string[]
  readonly clockHz?: number
  /** Measured layers, and networks that were measured as a whole. */
  readonly points?: number
  readonly source?: string
  /** Why it cannot be used yet. */
  readonly missing?: string
}

export function listTargets(): ListedTarget[] {
  return targetNames.map((name): ListedTarget => {
    if (name === 'measured' && !existsSync(measuredPath()))
      return { name, model: 'table', tells: ['latencyMs'], missing: 'run `bitwright hardware measure` first' }
    const hardware = readHardware(name)
    const { model } = hardware
    if (model !== 'table') return { name, model, tells: ['latencyMs', 'cycles', 'energyUj'], clockHz: hardware.clockHz }
    const { unit, clockHz, source, layers, networks } = hardware
    const tells = unit === 'nanoseconds' ? ['latencyMs'] : ['latencyMs', 'cycles']
    return { name, model, tells, ...(clockHz !== undefined && { clockHz }), points: Object.keys(layers).length + networks.length, source }
  })
}

export function listText(targets: readonly ListedTarget[]): string {
  const rows = targets.map(({ name, tells, clockHz, points, source, missing }) => [
    name,
    tells.join(', '),
    clockHz === undefined ? '-' : `${clockHz / 1e6} MHz`,
    missing ?? (points === undefined ? 'by formula' : `${points} measured; ${source}`),
  ])
  return `${textTable([['target', 'tells', 'clock', ''], ...rows])}\n`
}

/** As a file. */
export function hardwareDocument(hardware: Hardware): object {
  return { format: tableFormat, ...hardware }
}

export function errorTable({ errors }: HardwareTable): string {
  const rows = Object.entries(errors).map(([kind, { points, median, ninetieth }]) => [
    kind,
    String(points),
    percent(median),
    percent(ninetieth),
  ])
  return textTable([['layers', 'measured', 'median error', '9 of 10 below'], ...rows])
}

export function showText(hardware: Hardware): string {
  if (hardware.model !== 'table') {
    const rows = Object.entries(hardware).map(([key, value]) => [key, String(value)])
    return `${textTable(rows)}\n`
  }
  const { name, unit, clockHz, instructionsPerCycle, source } = hardware
  const facts = [
    `${name}: ${source}`,
    `in ${unit}${clockHz === undefined ? '' : `, ${clockHz / 1e6} MHz unless another clock is given`}`,
    ...(instructionsPerCycle === undefined ? [] : [`${instructionsPerCycle} instructions a cycle are assumed, not measured`]),
  ]
  return `${facts.join('\n')}\n\n${errorTable(hardware)}\n`
}

/** Latency of a described network, layer by layer. */
export function priceText({ name, target, latencyMs, frontEndMs, cycles, energyUj, layers }: ModelDescription): string {
  if (latencyMs === undefined) return ''
  const ms = (value: number) => value.toFixed(value < 1 ? 4 : 3)
  const rows = [
    ...(frontEndMs === undefined ? [] : [['front end', 'features', '-', ms(frontEndMs), percent(frontEndMs / latencyMs), '-', '-']]),
    ...layers.map((layer) => [
      layer.name,
      layer.op,
      layer.macs > 0 ? count(layer.macs) : '-',
      ms(layer.latencyMs ?? 0),
      percent((layer.latencyMs ?? 0) / latencyMs),
      layer.cycles === undefined ? '-' : count(layer.cycles),
      layer.energyUj === undefined ? '-' : layer.energyUj.toFixed(4),
    ]),
    ['all', '', '', ms(latencyMs), '', cycles === undefined ? '-' : count(cycles), energyUj === undefined ? '-' : energyUj.toFixed(4)],
  ]
  return `${name} on ${target}\n\n${textTable([['layer', 'op', 'MACs', 'ms', 'share', 'cycles', 'uJ'], ...rows])}\n`
}
