// The network as a column of layers: a slab shows each feature map (front face: height and width, depth: channels), then kernel and
// stride, shape, bits as filled squares, and its share of the MACs. Sums and attention are joined to their far inputs by arcs on the left.
import { countNetwork, inferShapes, isMultiplying, type Network, type NetworkNode, type Shape } from '../network/index.ts'
import { html, type Html } from './html.ts'
import { count, percent } from './units.ts'

/** Height of a row in CSS pixels; the arcs are drawn to it. */
const rowHeight = 46
const gutter = 44

export function networkSection(network: Network | undefined): Html {
  if (!network) return html``
  const shapes = inferShapes(network)
  const counts = new Map(countNetwork(network).nodes.map((node) => [node.id, node]))
  const totalMacs = Math.max(1, countNetwork(network).macs)
  const mostMacs = Math.max(1, ...[...counts.values()].map(({ macs }) => macs))
  const blocks = blockNames(network.nodes)
  const rows = network.nodes.map((node, index) => {
    const { macs = 0, params = 0 } = counts.get(node.id) ?? {}
    const shape = shapes.get(node.id)!
    const block = blocks[index]
    const position =
      block === undefined ? '' : `inside${blocks[index - 1] === block ? '' : ' first'}${blocks[index + 1] === block ? '' : ' last'}`
    const tip = `${node.id}\n${shape.join(' × ')} out\n${count(params)} params, ${count(macs)} MACs (${percent(macs / totalMacs)})`
    return html`<div class="node ${position}" data-tip="${tip}">
      ${slab(shape, node.op)}
      <div class="what">
        <b>${describe(node)}</b
        ><small>${block !== undefined && blocks[index - 1] !== block ? html`<em>${block}</em> ` : ''}${details(node)}</small>
      </div>
      <div class="shape">${shape.join('×')}</div>
      <div class="pips">${widthPips(node)}</div>
      <div class="share">
        ${macs > 0 && html`<i style="width:${Math.max(1, Math.round((macs / mostMacs) * 100))}%"></i><small>${count(macs)}</small>`}
      </div>
    </div>`
  })
  return html`<section class="card" id="network">
    <header>
      <h2>The network</h2>
      <p>
        ${network.name}: ${frontEndText(network)}. Slabs show the feature maps, squares the bits of weights (W) and input (A), bars the
        multiply-accumulates.
      </p>
    </header>
    <div class="network" style="--row:${rowHeight}px;--gutter:${gutter}px">
      <svg class="arcs" width="${gutter}" height="${rowHeight * rows.length}" aria-hidden="true">
        <line class="spine" x1="${gutter - 8}" x2="${gutter - 8}" y1="${rowHeight / 2}" y2="${rowHeight * (rows.length - 0.5)}" />
        ${arcs(network.nodes)}
        ${network.nodes.map((node, index) => html`<circle class="${joins(node) ? 'sum' : 'stop'}" cx="${gutter - 8}" cy="${rowHeight * (index + 0.5)}" r="${joins(node) ? 5.5 : 3}" />`)}
      </svg>
      <div class="nodes">${rows}</div>
    </div>
  </section>`
}

const joins = ({ inputs }: NetworkNode): boolean => inputs.length > 1

/** A curve from each input that is not the row above. */
function arcs(nodes: readonly NetworkNode[]): Html[] {
  const rowOf = new Map(nodes.map(({ id }, index) => [id, index]))
  return nodes.flatMap((node, index) =>
    node.inputs
      .map((id) => rowOf.get(id)!)
      .filter((source) => source !== index - 1)
      .map((source) => {
        const x = gutter - 8
        const [from, to] = [rowHeight * (source + 0.5), rowHeight * (index + 0.5)]
        const bend = 4 - Math.min(3, index - source - 2)
        return html`<path
          class="arc"
          d="M${x},${from} C${bend},${from + rowHeight * 0.7} ${bend},${to - rowHeight * 0.7} ${x - 5},${to}"
        />`
      }),
  )
}

/** Layers whose ids share all but the last part (`s3.l1.expand`) belong to one block; the rest to none. */
function blockNames(nodes: readonly NetworkNode[]): (string | undefined)[] {
  const prefixes = nodes.map(({ id }) => (id.includes('.') ? id.slice(0, id.lastIndexOf('.')) : undefined))
  return prefixes.map((prefix, index) =>
    prefix !== undefined && (prefixes[index - 1] === prefix || prefixes[index + 1] === prefix) ? prefix : undefined,
  )
}

function slab([height, width, channels]: Shape, op: NetworkNode['op']): Html {
  const [h, w] = [height, width].map((size) => Math.max(4.5, Math.min(31, 3 * Math.sqrt(size))))
  const depth = Math.min(14, 1 + Math.sqrt(channels))
  const x = 30 - w / 2 - depth / 2
  const y = rowHeight / 2 - h / 2 + depth / 2
  return html`<svg class="slab ${op}" viewBox="0 0 60 ${rowHeight}" aria-hidden="true">
    <path class="top" d="M${x},${y}l${depth},${-depth}h${w}l${-depth},${depth}z" />
    <path class="side" d="M${x + w},${y}l${depth},${-depth}v${h}l${-depth},${depth}z" />
    <rect class="face" x="${x}" y="${y}" width="${w}" height="${h}" />
  </svg>`
}

function describe(node: NetworkNode): string {
  switch (node.op) {
    case 'input':
      return 'Input'
    case 'convolution': {
      const kind = node.groups > 1 ? 'Depthwise' : isPointwise(node.kernelSize) ? 'Pointwise' : 'Convolution'
      return isPointwise(node.kernelSize) ? `${kind} 1×1` : `${kind} ${kernelText(node.kernelSize)}`
    }
    case 'sinc':
      return `SincConv ${node.kernelSize[0]}`
    case 'linear':
      return 'Linear'
    case 'reshape':
      return 'Reshape'
    case 'crop':
      return `Crop ${node.rows}`
    case 'add':
      return node.scale ? 'Add, scaled' : 'Add'
    case 'attend':
      return 'Attend'
    case 'aggregate':
      return `Aggregate, ${node.aggregator}, ${node.attention}`
    case 'averagePool':
      return `Average pool ${kernelText(node.kernelSize)}`
    case 'globalAveragePool':
      return 'Global average pool'
    default:
      return node satisfies never
  }
}

function details(node: NetworkNode): string {
  const parts: string[] = []
  if ('channels' in node) parts.push(`${node.channels} channels`)
  if ('stride' in node && node.stride.some((stride) => stride > 1)) {
    parts.push(`stride ${node.stride[1] === 1 || node.stride[0] === node.stride[1] ? node.stride[0] : node.stride.join('×')}`)
  }
  if ('normalization' in node && node.normalization !== 'none') parts.push('BN')
  if ('activation' in node && node.activation !== 'none') parts.push(activationLabels[node.activation])
  return parts.join(' · ')
}

const activationLabels = { relu: 'ReLU', relu6: 'ReLU6', logMagnitude: 'log' }
const isPointwise = ([height, width]: readonly [number, number]) => height === 1 && width === 1
const kernelText = ([height, width]: readonly [number, number]) => (width === 1 ? String(height) : `${height}×${width}`)

function widthPips(node: NetworkNode): Html[] {
  const { weightBits, activationBits } = { weightBits: undefined, activationBits: undefined, ...(isMultiplying(node) ? node : {}) }
  return [
    ...(weightBits === undefined ? [] : [pips(weightBits, 'accent', 'W')]),
    ...(activationBits === undefined ? [] : [pips(activationBits, 'second', 'A')]),
  ]
}

function pips(bits: number, colour: string, letter: string): Html {
  return html`<span class="pip-row ${colour}"
    ><small>${letter}</small>${Array.from({ length: 8 }, (_, index) => html`<i class="${index < bits && 'on'}"></i>`)}<small
      >${bits}</small
    ></span
  >`
}

function frontEndText({ frontEnd }: Network): string {
  if (frontEnd.kind === 'image') return `images in, ${frontEnd.height}x${frontEnd.width} pixels of ${frontEnd.channels} bytes`
  if (frontEnd.kind === 'graph') return `a graph in, ${frontEnd.nodes} nodes of ${frontEnd.features} features, ${frontEnd.edges} edges`
  const seconds = `${Number((frontEnd.samples / frontEnd.sampleRate).toFixed(2))} s at ${frontEnd.sampleRate / 1000} kHz`
  if (frontEnd.kind === 'raw') return `raw audio in, ${seconds}`
  const milliseconds = (samples: number) => `${Math.round((1000 * samples) / frontEnd.sampleRate)} ms`
  const features = frontEnd.kind === 'mfcc' ? `${frontEnd.coefficients} MFCC` : `${frontEnd.melBands} log-mel bands`
  return `${features} over ${milliseconds(frontEnd.windowSamples)} windows every ${milliseconds(frontEnd.hopSamples)}, ${seconds}`
}
