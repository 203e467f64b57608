// NSGA-II (Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002): fast
// nondominated sorting with constrained domination (section VI), crowding distance, binary tournament, and the better half of parents and
// children together. Genes are option indices, so crossover is uniform and mutation draws another option (ours: the paper's operators
// are for reals and bit strings). Pure and seeded: a generation depends on its number, the seed and the population alone.
import { Random } from '@bitwright/engine'

export interface Evaluated {
  readonly genes: readonly number[]
  /** Each to be minimised. */
  readonly objectives: readonly number[]
  /** 0: feasible; else how far it is from being so. */
  readonly violation: number
}

export interface Nsga2Options {
  readonly seed: number
  /** Tells apart the draws of several evolutions with one seed. Default 'nsga2'. */
  readonly purpose?: string
  /** Options of every gene. */
  readonly options: readonly number[]
  readonly population: number
  /** Share of pairs that are crossed. Default 0.9. */
  readonly crossover?: number
  /** Of each gene; default 1 / genes. */
  readonly mutation?: number
  /** One spelling of genes that mean the same. */
  readonly canonical?: (genes: readonly number[]) => number[]
}

/** Whether a is better than b: feasible before infeasible, less violation among infeasible ones, else no worse anywhere and better somewhere. */
export function dominates(a: Evaluated, b: Evaluated): boolean {
  if (a.violation > 0 || b.violation > 0) return a.violation < b.violation
  let better = false
  for (let i = 0; i < a.objectives.length; i++) {
    if (a.objectives[i] > b.objectives[i]) return false
    if (a.objectives[i] < b.objectives[i]) better = true
  }
  return better
}

/** Indices by front: first those that nothing dominates, then those that only the first front dominates, and so on. */
export function nondominatedFronts(members: readonly Evaluated[]): number[][] {
  const dominated: number[][] = members.map(() => [])
  const dominators = members.map(() => 0)
  for (let a = 0; a < members.length; a++) {
    for (let b = a + 1; b < members.length; b++) {
      const [better, worse] = dominates(members[a], members[b]) ? [a, b] : dominates(members[b], members[a]) ? [b, a] : [-1, -1]
      if (better < 0) continue
      dominated[better].push(worse)
      dominators[worse]++
    }
  }
  const fronts: number[][] = []
  let front = members.flatMap((_, index) => (dominators[index] === 0 ? [index] : []))
  while (front.length > 0) {
    fronts.push(front)
    front = front.flatMap((index) => dominated[index].filter((other) => --dominators[other] === 0)).toSorted((a, b) => a - b)
  }
  return fronts
}

/** Of each member of one front: the half perimeter of the box between its neighbours, in ranges of the front; infinite at the ends. */
export function crowdingDistances(front: readonly Evaluated[]): number[] {
  const distances = front.map(() => 0)
  const count = front[0]?.objectives.length ?? 0
  for (let objective = 0; objective < count; objective++) {
    const value = (index: number) => front[index].objectives[objective]
    const order = front.map((_, index) => index).toSorted((a, b) => value(a) - value(b) || a - b)
    const range = value(order.at(-1)!) - value(order[0])
    distances[order[0]] = Infinity
    distances[order.at(-1)!] = Infinity
    if (range === 0) continue
    for (let i = 1; i + 1 < order.length; i++) distances[order[i]] += (value(order[i + 1]) - value(order[i - 1])) / range
  }
  return distances
}

interface Ranked {
  readonly member: Evaluated
  readonly rank: number
  readonly distance: number
}

function ranked(members: readonly Evaluated[]): Ranked[] {
  return nondominatedFronts(members).flatMap((front, rank) => {
    const own = front.map((index) => members[index])
    const distances = crowdingDistances(own)
    return own.map((member, i) => ({ member, rank, distance: distances[i] }))
  })
}

const crowdedOrder = (a: Ranked, b: Ranked): number => a.rank - b.rank || (a.distance === b.distance ? 0 : b.distance - a.distance)

/** The best of parents and children, each of several with the same genes once. */
export function survivors(members: readonly Evaluated[], population: number): Evaluated[] {
  const unique = [...new Map(members.map((member) => [member.genes.join(), member])).values()]
  return ranked(unique)
    .toSorted(crowdedOrder)
    .slice(0, population)
    .map(({ member }) => member)
}

/** How often a child that is known already is drawn anew. */
const attempts = 30

/**
 * Genes of the first generation: those given first, then random ones, all different as far as that can be had.
 */
export function firstGeneration(options: Nsga2Options, given: readonly (readonly number[])[] = []): number[][] {
  const random = new Random(options.seed, options.purpose ?? 'nsga2', 'first')
  const canonical = options.canonical ?? ((genes: readonly number[]) => [...genes])
  const drawn = new Map(given.map((genes) => [canonical(genes).join(), canonical(genes)]))
  for (let attempt = 0; drawn.size < options.population && attempt < attempts * options.population; attempt++) {
    const genes = canonical(options.options.map((count) => random.integer(count)))
    drawn.set(genes.join(), genes)
  }
  return [...drawn.values()].slice(0, options.population)
}

/** Genes of the next generation's children, all different and, as far as that can be had, not in `known`. */
export function children(
  parents: readonly Evaluated[],
  generation: number,
  options: Nsga2Options,
  known: ReadonlySet<string> = new Set(),
): number[][] {
  const random = new Random(options.seed, options.purpose ?? 'nsga2', generation)
  const { crossover = 0.9, mutation = 1 / options.options.length } = options
  const canonical = options.canonical ?? ((genes: readonly number[]) => [...genes])
  const pool = ranked(parents)
  const select = (): readonly number[] => {
    const [a, b] = [pool[random.integer(pool.length)], pool[random.integer(pool.length)]]
    return (crowdedOrder(a, b) <= 0 ? a : b).member.genes
  }
  const born = new Map<string, number[]>()
  for (let attempt = 0; born.size < options.population && attempt < attempts * options.population; attempt++) {
    const [mother, father] = [select(), select()]
    const isCrossed = random.uniform() < crossover
    const child = canonical(
      mother.map((gene, i) => {
        const inherited = isCrossed && random.uniform() < 0.5 ? father[i] : gene
        const count = options.options[i]
        // another option, never the same again
        return count > 1 && random.uniform() < mutation ? (inherited + 1 + random.integer(count - 1)) % count : inherited
      }),
    )
    const key = child.join()
    if (!known.has(key)) born.set(key, child)
  }
  return [...born.values()]
}
