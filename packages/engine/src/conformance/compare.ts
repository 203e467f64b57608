// Compares what the engine computed with the float64 reference.
import { expect } from 'vitest'
import type { Backend } from '../backends/backend.ts'
import type { Program, Result } from './program.ts'
import { type ReferenceRun, runReference } from './reference-run.ts'
import { record, type TapeRunOptions } from './tape-run.ts'

/**
 * Largest error of an array relative to its largest number or `floor` (default 0.1; inputs and seeds are of order 1), whichever is
 * more; absolute where the reference is nothing but rounding errors of 0.
 */
export interface Tolerances {
  readonly value: number
  readonly gradient: number
  readonly floor?: number
}
/** float32 with two-level sums; gradients have passed more sums, and batch norm's differences of sums. */
export const tolerances: Tolerances = { value: 5e-6, gradient: 5e-5 }
const vanishing = 1e-10

export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 0.1): number {
  if (actual.length !== expected.length) return Infinity
  let scale = 0
  let error = 0
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i])) return Infinity
    scale = Math.max(scale, Math.abs(expected[i]))
    error = Math.max(error, Math.abs(actual[i] - expected[i]))
  }
  return scale < vanishing ? error : error / Math.max(scale, floor)
}

/** The names whose error exceeds the tolerance, with the error. */
export function disagreements(actual: Result, expected: Result, { value, gradient, floor }: Tolerances): string[] {
  const found: string[] = []
  for (const [name, numbers] of expected) {
    const limit = /^(gradient|sums)/.test(name) ? gradient : value
    const error = relativeError(actual.get(name) ?? [], numbers, floor)
    if (!(error <= limit)) found.push(`${name}: ${error.toExponential(1)} > ${limit}`)
  }
  if (actual.size !== expected.size) found.push(`${actual.size} arrays instead of ${expected.size}`)
  return found
}

/** A seed for which no number lies so close to a kink that float32 could fall on its other side. */
export function smoothRun(program: Program, options: TapeRunOptions, distance = 2e-5): { seed: number; reference: ReferenceRun } {
  for (let seed = options.seed; seed < options.seed + 40; seed++) {
    const reference = runReference(program, { ...options, seed })
    if (reference.kinkDistance > distance) return { seed, reference }
  }
  throw new Error('every seed puts a number on a kink; make the program smaller')
}

/** Runs a program on a backend and holds it against the reference; replays it and expects the same bits. */
export function conforms(program: Program, backend: Backend, options: TapeRunOptions, limits: Tolerances = tolerances): void {
  const { seed, reference } = smoothRun(program, options)
  const recording = record(program, backend, reference.parameters, { ...options, seed })
  try {
    const first = recording.run()
    expect(disagreements(first, reference.result, limits)).toEqual([])
    const again = recording.run()
    const changed = [...first.keys()].filter((name) => !/^(mean|variance)/.test(name) && !same(first.get(name)!, again.get(name)!))
    expect(changed, 'a replay gives the same bits').toEqual([])
    recording.check()
  } finally {
    recording.dispose()
  }
}

/** Equal bit for bit (a NaN equals itself). */
export function same(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}
