// Against brute force on problems small enough to list, and against random draws on one that is not.
import { Random } from '@bitwright/engine'
import { describe, expect, it } from 'vitest'
import {
  children,
  crowdingDistances,
  dominates,
  type Evaluated,
  firstGeneration,
  nondominatedFronts,
  type Nsga2Options,
  survivors,
} from './nsga2.ts'

type Problem = (genes: readonly number[]) => Omit<Evaluated, 'genes'>

interface State {
  generation: number
  population: Evaluated[]
  known: Map<string, Evaluated>
}
const evaluate = (problem: Problem, state: State, all: readonly (readonly number[])[]) =>
  all.map((genes) => {
    const member = { genes, ...problem(genes) }
    state.known.set(genes.join(), member)
    return member
  })
function run(problem: Problem, options: Nsga2Options, generations: number, state?: State): State {
  const current = state ?? { generation: 0, population: [], known: new Map() }
  if (!state) current.population = evaluate(problem, current, firstGeneration(options))
  for (; current.generation < generations; current.generation++) {
    const born = children(current.population, current.generation, options, new Set(current.known.keys()))
    current.population = survivors([...current.population, ...evaluate(problem, current, born)], options.population)
  }
  return current
}
function everything(options: readonly number[]): number[][] {
  return options.reduce<number[][]>((all, count) => all.flatMap((genes) => Array.from({ length: count }, (_, i) => [...genes, i])), [[]])
}
const points = (members: readonly Evaluated[]) => [...new Set(members.map(({ objectives }) => objectives.join()))].toSorted()
const frontOf = (members: readonly Evaluated[]) => members.filter((a) => !members.some((b) => dominates(b, a)))

/** Accuracy with diminishing returns and interplay of genes, against a sum of costs: like networks. */
const widths: Problem = (genes) => {
  const cost = genes.reduce((sum, gene, i) => sum + gene * (1 + (i % 3)), 0)
  const loss = genes.reduce((sum, gene, i) => sum + (1 + ((i * 7) % 5)) / (1 + gene), 0) + (genes[0] === genes[1] ? 0.4 : 0)
  return { objectives: [loss, cost], violation: 0 }
}
const small: Nsga2Options = { seed: 1, options: [4, 4, 3, 4, 3], population: 40 }

describe('sorting', () => {
  const draws = new Random(4, 'sorting')
  const members = Array.from({ length: 120 }, (_, i): Evaluated => ({
    genes: [i],
    objectives: [draws.integer(9), draws.integer(9), draws.integer(9)],
    violation: Math.max(0, draws.integer(8) - 4),
  }))

  it('gives the fronts that peeling one off after another gives', () => {
    let rest = members.map((_, index) => index)
    for (const front of nondominatedFronts(members)) {
      const expected = rest.filter((a) => !rest.some((b) => dominates(members[b], members[a])))
      expect(front.toSorted((a, b) => a - b)).toEqual(expected)
      rest = rest.filter((index) => !expected.includes(index))
    }
    expect(rest).toEqual([])
  })

  it('puts feasible before infeasible, less before more violation, and ties nowhere', () => {
    const of = (objectives: number[], violation = 0): Evaluated => ({ genes: [], objectives, violation })
    expect(dominates(of([9, 9]), of([0, 0], 1))).toBe(true)
    expect(dominates(of([9, 9], 1), of([0, 0], 2))).toBe(true)
    expect(dominates(of([0, 0], 1), of([9, 9], 1))).toBe(false)
    expect(dominates(of([1, 2]), of([1, 2]))).toBe(false)
    expect(dominates(of([1, 2]), of([1, 3]))).toBe(true)
    expect(dominates(of([1, 3]), of([2, 2]))).toBe(false)
  })

  it('measures crowding between neighbours, in ranges', () => {
    const front = [
      [0, 10],
      [1, 6],
      [4, 5],
      [10, 0],
    ].map((objectives) => ({ genes: [], objectives, violation: 0 }))
    const [first, second, third, last] = crowdingDistances(front)
    expect([first, last]).toEqual([Infinity, Infinity])
    expect(second).toBeCloseTo(4 / 10 + 5 / 10, 12)
    expect(third).toBeCloseTo(9 / 10 + 6 / 10, 12)
    expect(crowdingDistances([front[0], front[0], front[0]]).slice(1, 2)).toEqual([0])
    expect(crowdingDistances([])).toEqual([])
  })

  it('keeps the less crowded of the front that does not fit, and no genes twice', () => {
    const line = [0, 1, 2, 3, 10].map((x): Evaluated => ({ genes: [x], objectives: [x, 10 - x], violation: 0 }))
    const kept = survivors([...line, ...line], 3).map(({ genes }) => genes[0])
    expect(kept.toSorted((a, b) => a - b)).toEqual([0, 3, 10])
    expect(survivors([...line, ...line], 10)).toHaveLength(5)
  })
})

describe('search', () => {
  it('finds the whole front of a small problem', () => {
    const all = everything(small.options).map((genes) => ({ genes, ...widths(genes) }))
    const truth = points(frontOf(all))
    const found = points(frontOf(run(widths, small, 12).population))
    expect(truth.length).toBeGreaterThan(8)
    expect(truth.length).toBeLessThan(small.population)
    expect(found).toEqual(truth)
  })

  it('finds the feasible front, also from generations without a feasible member', () => {
    const limited: Problem = (genes) => {
      const { objectives } = widths(genes)
      // a corner of 3 in 576
      return { objectives, violation: Math.max(0, 18 - genes.reduce((sum, gene) => sum + 1.5 * gene, 0)) }
    }
    const all = everything(small.options).map((genes) => ({ genes, ...limited(genes) }))
    const feasible = all.filter(({ violation }) => violation === 0)
    expect(feasible.length).toBeGreaterThan(0)
    expect(feasible.length).toBeLessThan(25)
    const { population } = run(limited, { ...small, population: 16 }, 20)
    expect(points(frontOf(population))).toEqual(points(frontOf(feasible)))
  })

  it('goes to where the violation is least where nothing is feasible', () => {
    const never: Problem = (genes) => ({ objectives: [0, 0], violation: 1 + genes.reduce((sum, gene) => sum + gene, 0) })
    const { population } = run(never, { ...small, population: 10 }, 15)
    expect(population[0]).toMatchObject({ genes: [0, 0, 0, 0, 0], violation: 1 })
  })

  it('minimises one objective', () => {
    const single: Problem = (genes) => ({ objectives: [widths(genes).objectives[0]], violation: 0 })
    const least = Math.min(...everything(small.options).map((genes) => single(genes).objectives[0]))
    expect(run(single, small, 10).population[0].objectives).toEqual([least])
  })

  it('evaluates no genes twice, whatever canonical spelling they have', () => {
    const canonical = (genes: readonly number[]) => (genes[0] === 0 ? genes.map((gene, i) => (i === 4 ? 0 : gene)) : [...genes])
    let evaluations = 0
    const counted: Problem = (genes) => {
      evaluations++
      expect(canonical(genes)).toEqual(genes)
      return widths(genes)
    }
    const options = { ...small, canonical }
    const { known } = run(counted, options, 12)
    expect(evaluations).toBe(known.size)
    // and it ends where there is nothing new
    const tiny = { ...options, options: [2, 1, 1, 1, 3], population: 20 }
    evaluations = 0
    expect(run(counted, tiny, 4).known.size).toBe(4)
    expect(evaluations).toBe(4)
  })

  it('begins with the genes it is given', () => {
    const given = [
      [3, 3, 2, 3, 2],
      [0, 0, 0, 0, 0],
    ]
    const first = firstGeneration(small, given)
    expect(first.slice(0, 2)).toEqual(given)
    expect(first).toHaveLength(40)
    expect(new Set(first.map(String)).size).toBe(40)
  })

  it('goes on from any generation with the same bits', () => {
    const whole = run(widths, small, 9)
    const part = run(widths, small, 4)
    const saved = structuredClone(part)
    expect(run(widths, small, 9, saved)).toEqual(whole)
    expect(run(widths, { ...small, seed: 2 }, 9).population).not.toEqual(whole.population)
  })
})

/** Area that the members dominate below a reference point, of two objectives. */
function hypervolume(members: readonly Evaluated[], reference: readonly [number, number]): number {
  let [area, bound] = [0, reference[1]]
  for (const { objectives } of frontOf(members).toSorted((a, b) => a.objectives[0] - b.objectives[0])) {
    const [x, y] = objectives
    if (x >= reference[0] || y >= bound) continue
    area += (reference[0] - x) * (bound - y)
    bound = y
  }
  return area
}

it('covers more than as many random draws, on a space of the size of ours', () => {
  const options = { seed: 3, options: Array.from({ length: 40 }, (_, i) => 3 + (i % 5)), population: 32 }
  const reference = [90, 240] as const
  for (const seed of [1, 2, 3]) {
    const { known } = run(widths, { ...options, seed }, 30)
    const random = new Random(seed, 'random')
    const drawn = Array.from({ length: known.size }, () => {
      const genes = options.options.map((count) => random.integer(count))
      return { genes, ...widths(genes) }
    })
    expect(hypervolume([...known.values()], reference)).toBeGreaterThan(1.1 * hypervolume(drawn, reference))
  }
})
