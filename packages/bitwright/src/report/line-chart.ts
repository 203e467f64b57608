// One quantity over the epochs of a run: a line per series, broken between stages, the stages as labelled bands behind.
import { html, type Html } from './html.ts'
import { stageLabels, type EpochEvent } from './report-data.ts'
import { linearScale, paddedDomain, ticks, type Domain } from './scale.ts'

export interface Series {
  readonly label: string
  /** CSS class that colours it. */
  readonly colour: 'accent' | 'second' | 'warm'
  value(epoch: EpochEvent): number | undefined
}

export interface LineChart {
  readonly title: string
  readonly series: readonly Series[]
  format(value: number): string
  readonly floor?: number
  readonly ceiling?: number
}

const width = 460
const height = 250
const left = 50
const right = width - 14
const top = 34
const bottom = height - 32

/** Empty where no epoch has a value of any series. */
export function lineChart(chart: LineChart, allEpochs: readonly EpochEvent[]): Html {
  const hasValue = (epoch: EpochEvent) => chart.series.some((series) => isNumber(series.value(epoch)))
  const stagesWithValues = new Set(allEpochs.filter(hasValue).map(({ stage }) => stage))
  const epochs = allEpochs.filter(({ stage }) => stagesWithValues.has(stage))
  const used = chart.series.filter((series) => epochs.some((epoch) => isNumber(series.value(epoch))))
  if (used.length === 0) return html``
  const values = used.flatMap((series) => epochs.map((epoch) => series.value(epoch)).filter(isNumber))
  const yDomain = paddedDomain(values, 0.06, chart.floor, chart.ceiling)
  const x = linearScale([0, Math.max(1, epochs.length - 1)], [left + 6, right - 6])
  const y = linearScale(yDomain, [bottom, top])
  const stages = stageRanges(epochs)
  const slot = (right - left - 12) / Math.max(1, epochs.length - 1)
  return html`<figure class="panel">
    <figcaption>
      <h3>${chart.title}</h3>
      <span class="legend">${used.map(({ label, colour }) => html`<span><i class="swatch ${colour}"></i>${label}</span>`)}</span>
    </figcaption>
    <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${chart.title} over the epochs">
      ${stages.map(({ stage, from, to }, index) => {
        const start = Math.max(left, x(from) - slot / 2)
        const end = Math.min(right, x(to) + slot / 2)
        return html`<rect
            class="band ${index % 2 ? 'odd' : 'even'}"
            x="${start}"
            y="${top - 22}"
            width="${end - start}"
            height="${bottom - top + 22}"
          />
          ${end - start > 44 && html`<text class="stage" x="${(start + end) / 2}" y="${top - 8}">${stageLabels[stage]}</text>`}`
      })}
      ${ticks(yDomain, 5).map(
        (tick) =>
          html`<line class="grid" x1="${left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}" />
            <text class="tick end" x="${left - 7}" y="${y(tick) + 4}">${chart.format(tick)}</text>`,
      )}
      ${epochTicks(epochs.length).map((tick) => html`<text class="tick middle" x="${x(tick - 1)}" y="${bottom + 18}">${tick}</text>`)}
      <line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" />
      ${used.map((series) => stages.map(({ from, to }) => polyline(series, epochs, from, to, x, y)))}
      ${epochs.map((epoch, index) => {
        const tip = [
          `${stageLabels[epoch.stage]}, epoch ${epoch.epoch}`,
          ...used.flatMap((series) => {
            const value = series.value(epoch)
            return isNumber(value) ? [`${series.label}: ${chart.format(value)}`] : []
          }),
        ].join('\n')
        return html`<rect class="hover" x="${x(index) - slot / 2}" y="${top}" width="${slot}" height="${bottom - top}" data-tip="${tip}" />`
      })}
    </svg>
  </figure>`
}

function polyline(
  series: Series,
  epochs: readonly EpochEvent[],
  from: number,
  to: number,
  x: (i: number) => number,
  y: (v: number) => number,
) {
  const points: string[] = []
  for (let index = from; index <= to; index++) {
    const value = series.value(epochs[index])
    if (isNumber(value)) points.push(`${x(index).toFixed(1)},${y(value).toFixed(1)}`)
  }
  if (points.length === 0) return html``
  if (points.length === 1) {
    const [cx, cy] = points[0].split(',')
    return html`<circle class="dot ${series.colour}" cx="${cx}" cy="${cy}" r="3" />`
  }
  return html`<polyline class="line ${series.colour}" points="${points.join(' ')}" />`
}

/** Runs of epochs of one stage, as indices, both included. */
function stageRanges(epochs: readonly EpochEvent[]) {
  const ranges: { stage: EpochEvent['stage']; from: number; to: number }[] = []
  for (const [index, { stage }] of epochs.entries()) {
    const last = ranges.at(-1)
    if (last?.stage === stage) last.to = index
    else ranges.push({ stage, from: index, to: index })
  }
  return ranges
}

function epochTicks(count: number): number[] {
  const domain: Domain = [1, count]
  return [...new Set([1, ...ticks(domain, 5).filter((tick) => Number.isInteger(tick) && tick > count / 12)])]
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value)
}
