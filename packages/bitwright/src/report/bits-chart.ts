// Bits of every layer with weights: a bar for its weights, a bar for its input, the averages as dashed lines.
import type { LayerBits } from '../study/events.ts'
import { html, type Html } from './html.ts'
import { linearScale } from './scale.ts'
import { count } from './units.ts'

const step = 44
const left = 34
const top = 18
const bottom = 216
const highest = 8

/** Empty without layers. Widths above 8 (raw audio) are drawn as an open bar of full height with their number. */
export function bitsSection(layers: readonly LayerBits[], average: { weights: number; activations: number } | undefined): Html {
  if (layers.length === 0) return html``
  const width = left + layers.length * step + 10
  const longest = Math.max(...layers.map(({ id }) => id.length))
  const height = bottom + Math.min(130, 18 + longest * 4)
  const y = linearScale([0, highest], [bottom, top])
  const bar = (bits: number, x: number, colour: string, tip: string) => {
    const shown = Math.min(bits, highest)
    return html`<rect
        class="bar ${colour}${bits > highest && ' open'}"
        x="${x}"
        y="${y(shown)}"
        width="14"
        height="${bottom - y(shown)}"
        rx="2.5"
        data-tip="${tip}"
      />
      <text class="bits middle" x="${x + 7}" y="${y(shown) - 4}">${bits}</text>`
  }
  const mean = (value: number, colour: string) =>
    html`<line class="mean ${colour}" x1="${left}" x2="${width - 8}" y1="${y(value)}" y2="${y(value)}" />`
  return html`<section class="card" id="bits">
    <header>
      <h2>Bits per layer</h2>
      <p class="legend">
        <span><i class="swatch accent"></i>weights${average && html`, ${average.weights.toFixed(2)} on average`}</span>
        <span
          ><i class="swatch second"></i>activations (the layer's
          input)${average && html`, ${average.activations.toFixed(2)} on average`}</span
        >
      </p>
    </header>
    <div class="scroll">
      <svg
        class="fixed"
        viewBox="0 0 ${width} ${height}"
        style="min-width:${Math.round(width * 0.86)}px;max-width:${Math.round(width * 1.35)}px"
        role="img"
        aria-label="bits per layer"
      >
        ${[0, 2, 4, 6, 8].map(
          (tick) =>
            html`<line class="grid" x1="${left}" x2="${width - 8}" y1="${y(tick)}" y2="${y(tick)}" /><text
                class="tick end"
                x="${left - 8}"
                y="${y(tick) + 4}"
                >${tick}</text
              >`,
        )}
        ${average && [mean(average.weights, 'accent'), mean(Math.min(highest, average.activations), 'second')]}
        ${layers.map(({ id, weightBits, activationBits, params, macs }, index) => {
          const x = left + index * step + 6
          const tip = `${id}\nweights ${weightBits} bits, ${count(params)} params\nactivations ${activationBits} bits, ${count(macs)} MACs`
          return html`${bar(weightBits, x, 'accent', tip)}${bar(activationBits, x + 16, 'second', tip)}
            <text class="layer" transform="translate(${x + 18},${bottom + 14}) rotate(-38)">${id}</text>`
        })}
      </svg>
    </div>
  </section>`
}
