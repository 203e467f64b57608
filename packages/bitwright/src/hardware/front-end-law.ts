// Frames of spectral features, priced like layers: measured configurations, and a law between them.
//   mfcc window 640 mel 40 to 10 of 16000 Hz from 20 to 7000
import type { IntegerSpectralFrontEnd } from '@bitwright/runtime'
import { nonNegativeLeastSquares } from './nnls.ts'

type Frame = Omit<IntegerSpectralFrontEnd, 'samples' | 'hopSamples'>

export function frameText({ kind, windowSamples, melBands, coefficients, sampleRate, lowHz, highHz }: Frame): string {
  return `${kind} window ${windowSamples} mel ${melBands} to ${coefficients} of ${sampleRate} Hz from ${lowHz} to ${highHz}`
}

const pattern =
  /^(mfcc|logmel) window ([1-9]\d{0,5}) mel ([1-9]\d{0,2}) to ([1-9]\d{0,2}) of ([1-9]\d{0,5}) Hz from (\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)$/

/** @returns undefined where the text describes no front end */
export function parseFrame(text: string): Frame | undefined {
  const found = pattern.exec(text)
  if (!found) return undefined
  const [windowSamples, melBands, coefficients, sampleRate, lowHz, highHz] = found.slice(2).map(Number)
  return { kind: found[1] as Frame['kind'], windowSamples, melBands, coefficients, sampleRate, lowHz, highHz }
}

const frameTerms = ['call', 'window', 'butterflies', 'spectrum', 'triangles', 'bands', 'cosines', 'values'] as const

function termsOf({ kind, windowSamples, melBands, coefficients, sampleRate, lowHz, highHz }: Frame): number[] {
  const size = 2 ** Math.ceil(Math.log2(windowSamples))
  const triangles = (size * (highHz - lowHz)) / sampleRate
  const cosines = kind === 'mfcc' ? melBands * coefficients : 0
  return [1, windowSamples, (size / 2) * Math.log2(size), size / 2, 2 * triangles, melBands, cosines, coefficients]
}

export type FrameLaw = Readonly<Record<string, number>>

export function fitFrames(points: readonly (readonly [frame: Frame, value: number])[]): FrameLaw {
  const rows = points.map(([frame, value]) => ({
    terms: termsOf(frame).map((count, i) => [i, count / value] as const),
    target: 1,
  }))
  const found = nonNegativeLeastSquares(rows, frameTerms.length)
  return Object.fromEntries(frameTerms.map((name, i) => [name, Number(found[i].toPrecision(6))]))
}

export const predictFrame = (law: FrameLaw, frame: Frame): number =>
  termsOf(frame).reduce((sum, count, i) => sum + count * (law[frameTerms[i]] ?? 0), 0)
