// MFCC and log-mel as nodes of an ONNX graph, for whoever wants audio to go in where core/front_end.c is not at hand: the same definitions
// (periodic Hann window, zero-filled Fourier transform, power, triangles even in mel, log(x + 1e-6), orthonormal DCT-II), with the tables
// in float64 and the order of the sums left to the reader. So features agree to float32's precision and not to the bit.
import type { FrontEnd } from '../network/network.ts'
import type { OnnxGraph } from './onnx-graph.ts'

type SpectralFrontEnd = Extract<FrontEnd, { kind: 'mfcc' | 'logmel' }>

const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700)
const hertzOf = (value: number): number => 700 * (10 ** (value / 2595) - 1)

/** The power of two that frames are filled up to. */
const transformSize = (windowSamples: number): number => Math.max(8, 2 ** Math.ceil(Math.log2(windowSamples)))

/** Periodic Hann window, then zeros. */
function hannWindow(windowSamples: number, size: number): Float64Array {
  return Float64Array.from({ length: size }, (_, n) => (n < windowSamples ? 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / windowSamples) : 0))
}

/** [bins][bands] */
function triangles({ melBands, lowHz, highHz, sampleRate }: SpectralFrontEnd, size: number): Float64Array {
  const bins = size / 2 + 1
  const edges = Array.from({ length: melBands + 2 }, (_, i) => hertzOf(mel(lowHz) + ((mel(highHz) - mel(lowHz)) * i) / (melBands + 1)))
  return Float64Array.from({ length: bins * melBands }, (_, i) => {
    const [hertz, band] = [(Math.floor(i / melBands) * sampleRate) / size, i % melBands]
    const rise = (hertz - edges[band]) / (edges[band + 1] - edges[band])
    const fall = (edges[band + 2] - hertz) / (edges[band + 2] - edges[band + 1])
    return Math.max(0, Math.min(rise, fall))
  })
}

/** [bands][coefficients] */
function cosineTransform({ melBands, coefficients }: SpectralFrontEnd): Float64Array {
  return Float64Array.from({ length: melBands * coefficients }, (_, i) => {
    const [band, k] = [Math.floor(i / coefficients), i % coefficients]
    return Math.cos((Math.PI * k * (band + 0.5)) / melBands) * Math.sqrt((k === 0 ? 1 : 2) / melBands)
  })
}

/** Features [1, frames, coefficients] of `audio`, float [1, samples]. */
export function spectralFeatures(graph: OnnxGraph, frontEnd: SpectralFrontEnd, audio: string): string {
  const { windowSamples, hopSamples, melBands, coefficients } = frontEnd
  const size = transformSize(windowSamples)
  const integers = (name: string, values: readonly number[]) => graph.constant(`features.${name}`, 'int64', [values.length], values)
  const scalar = (name: string, value: number) => graph.constant(`features.${name}`, 'int64', [], [value])
  // frames are read as far as the transform is long, so the last one reaches beyond the clip: the window is zero there
  const padded = graph.node('Pad', 'features.padded', [audio, integers('padding', [0, 0, 0, size - windowSamples])])
  const signal = graph.node('Unsqueeze', 'features.signal', [padded, integers('last', [2])])
  const window = graph.constant('features.window', 'float', [size], hannWindow(windowSamples, size))
  const spectrum = graph.node('STFT', 'features.spectrum', [signal, scalar('hop', hopSamples), window, scalar('size', size)])
  const squares = graph.node('Mul', 'features.squares', [spectrum, spectrum])
  const power = graph.node('ReduceSum', 'features.power', [squares, integers('parts', [3])], { keepdims: 0 })
  const weights = graph.constant('features.triangles', 'float', [size / 2 + 1, melBands], triangles(frontEnd, size))
  const energies = graph.node('MatMul', 'features.energies', [power, weights])
  const floor = graph.constant('features.floor', 'float', [], [1e-6])
  const logarithms = graph.node('Log', 'features.log', [graph.node('Add', 'features.aboveZero', [energies, floor])])
  if (frontEnd.kind === 'logmel') return logarithms
  const cosines = graph.constant('features.cosines', 'float', [melBands, coefficients], cosineTransform(frontEnd))
  return graph.node('MatMul', 'features.coefficients', [logarithms, cosines])
}
