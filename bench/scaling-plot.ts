// Draws the rows of the scaling bench: a column of two panels per sweep, time above and memory below, measured points and the growth law
// through them. The axis of the sweep is logarithmic, the other begins at zero: a level line is what one hopes for.
import { html, type Html, trusted } from '../packages/bitwright/src/report/html.ts'
import { linearScale, ticks } from '../packages/bitwright/src/report/scale.ts'
import { palette } from '../packages/bitwright/src/report/style.ts'
import { growthLaw } from './growth.ts'
import type { ScalingRow, Sweep } from './scaling.ts'

interface Quantity {
  readonly key: 'nsPerMac' | 'heapBytesPerClip'
  readonly title: string
  format(value: number): string
}

const quantities: readonly Quantity[] = [
  { key: 'nsPerMac', title: 'time per MAC', format: (value) => `${Number(value.toPrecision(3))} ns` },
  { key: 'heapBytesPerClip', title: 'heap per clip', format: (value) => `${Number((value / 1e6).toPrecision(3))} MB` },
]
const axes: Readonly<Record<Sweep, string>> = { batch: 'clips in a batch', threads: 'threads', width: 'channels', candidates: 'candidates' }
const factors: ReadonlySet<Sweep> = new Set(['width', 'candidates'])
/** Colours of the steps of one panel, in the order of the rows. */
const colours = ['accent', 'warm'] as const

const [panelWidth, panelHeight] = [300, 226]
const [left, right, top, bottom] = [66, panelWidth - 16, 56, panelHeight - 40]

/** A whole SVG document, for light and dark pages. */
export function scalingPlot(rows: readonly ScalingRow[]): string {
  const sweeps = [...new Set(rows.map(({ sweep }) => sweep))]
  const [width, height] = [sweeps.length * panelWidth, quantities.length * panelHeight]
  const panels = sweeps.flatMap((sweep, column) =>
    quantities.map((quantity, line) => {
      const own = rows.filter((row) => row.sweep === sweep)
      return html`<g transform="translate(${column * panelWidth} ${line * panelHeight})">${panel(sweep, quantity, own)}</g>`
    }),
  )
  const title = 'Time and memory per unit of work of a training and a search step'
  return `${
    html`<svg
      xmlns="http://www.w3.org/2000/svg"
      viewBox="0 0 ${width} ${height}"
      width="${width}"
      height="${height}"
      role="img"
      aria-label="${title}"
    >
      <style>
        ${trusted(style)}
      </style>
      <rect class="card" width="${width}" height="${height}" rx="14" />
      ${panels}
    </svg>`.markup
  }\n`
}

function panel(sweep: Sweep, { key, title, format }: Quantity, rows: readonly ScalingRow[]): Html {
  const steps = [...new Set(rows.map(({ step }) => step))]
  const values = [...new Set(rows.map(({ x }) => x))]
  const x = linearScale([Math.log(Math.min(...values)), Math.log(Math.max(...values))], [left + 8, right - 8])
  const domain = [0, 1.1 * Math.max(...rows.map((row) => row[key]))] as const
  const y = linearScale(domain, [bottom, top])
  return html`<text class="title" x="${left}" y="20">${title}</text>
    ${steps.map((step, i) => {
      const law = growthLaw(rows.filter((row) => row.step === step).map((row) => [row.x, row[key]]))
      const text = `${step} ~ ${sweep}^${law.exponent.toFixed(2)}`
      return html`<text class="law ${colours[i]}" x="${left}" y="${36 + 14 * i}">${text}</text>`
    })}
    ${ticks(domain, 4).map(
      (tick) =>
        html`<line class="grid" x1="${left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}" /><text
            class="tick end"
            x="${left - 7}"
            y="${y(tick) + 4}"
            >${format(tick)}</text
          >`,
    )}
    ${values.map((value) => html`<text class="tick middle" x="${x(Math.log(value))}" y="${bottom + 16}">${factors.has(sweep) ? `x${value}` : value}</text>`)}
    <text class="tick end" x="${right}" y="${bottom + 32}">${axes[sweep]}</text>
    <line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" />
    ${steps.map((step, i) => {
      const own = rows.filter((row) => row.step === step)
      const { factor, exponent } = growthLaw(own.map((row) => [row.x, row[key]]))
      const [low, high] = x.domain
      const curve = Array.from({ length: 33 }, (_, j) => low + ((high - low) * j) / 32)
        .map((log) => `${x(log).toFixed(1)},${y(Math.min(domain[1], factor * Math.exp(exponent * log))).toFixed(1)}`)
        .join(' ')
      return html`<polyline
          class="fit ${colours[i]}"
          points="${curve}"
        />${own.map((row) => html`<circle class="dot ${colours[i]}" cx="${x(Math.log(row.x))}" cy="${y(row[key])}" r="4" />`)}`
    })}`
}

const style = `${palette}
text { font: 12px Inter, system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: var(--ink) } .title { font-weight: 600; font-size: 13px }
.card { fill: var(--card) } .grid { stroke: var(--line) } .axis { stroke: var(--muted) } .tick { fill: var(--muted) } .end { text-anchor: end } .middle { text-anchor: middle }
.fit { fill: none; stroke-width: 2; opacity: .5 } .fit.accent { stroke: var(--accent) } .fit.warm { stroke: var(--warm) }
.dot.accent, .law.accent { fill: var(--accent) } .dot.warm, .law.warm { fill: var(--warm) }`
